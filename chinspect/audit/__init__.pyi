from .baseline import Changes, Difference, changes_since
from .finding import AuditFinding, Status
from .junit import check_gate, failing, junit_xml
from .result import Audit
from .summary import summary_markdown

__all__ = [
    "Audit",
    "AuditFinding",
    "Changes",
    "Difference",
    "Status",
    "changes_since",
    "check_gate",
    "failing",
    "junit_xml",
    "summary_markdown",
]
