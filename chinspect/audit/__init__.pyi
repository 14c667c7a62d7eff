from .finding import AuditFinding, Status
from .result import Audit

__all__ = [
    "Audit",
    "AuditFinding",
    "Status",
]
