from .baseline import Changes, Difference, changes_since
from .detectors import audit_detector
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
    "audit_detector",
    "changes_since",
    "check_gate",
    "failing",
    "junit_xml",
    "summary_markdown",
]
