from .auditing import audit_model
from .finding import AuditFinding, Status
from .plan import Plan, PlannedStep
from .result import Audit

__all__ = [
    "Audit",
    "AuditFinding",
    "Plan",
    "PlannedStep",
    "Status",
    "audit_model",
]
