from .auditing import audit_model
from .baseline import Changes, Difference, changes_since
from .detectors import audit_detector
from .finding import AuditFinding, Status
from .junit import check_gate, failing, junit_xml
from .plan import Plan, PlannedStep
from .result import Audit
from .summary import summary_markdown

__all__ = [
    "Audit",
    "AuditFinding",
    "Changes",
    "Difference",
    "Plan",
    "PlannedStep",
    "Status",
    "audit_detector",
    "audit_model",
    "changes_since",
    "check_gate",
    "failing",
    "junit_xml",
    "summary_markdown",
]
