from .candidates import prove_candidates
from .isolation import isolate
from .placebos import random_patch
from .proving import Proof, prove

__all__ = [
    "Proof",
    "isolate",
    "prove",
    "prove_candidates",
    "random_patch",
]
