from .auditing import audit_model
from .baseline import Changes, Difference, changes_since, check_baseline
from .detectors import audit_detector
from .finding import AuditFinding, Status
from .junit import check_gate, failing, junit_xml
from .plan import Plan, PlannedStep
from .result import Audit
from .summary import summary_markdown
from .writing import Written, write_audit

__all__ = [
    "Audit",
    "AuditFinding",
    "Changes",
    "Difference",
    "Plan",
    "PlannedStep",
    "Status",
    "Written",
    "audit_detector",
    "audit_model",
    "changes_since",
    "check_baseline",
    "check_gate",
    "failing",
    "junit_xml",
    "summary_markdown",
    "write_audit",
]
