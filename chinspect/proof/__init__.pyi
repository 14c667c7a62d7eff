from .candidates import SAME, candidate_cases, member_case, prove_candidates, with_proofs
from .isolation import MIN_CARRIERS, MIN_MEMBERS, isolate
from .placebos import random_patch
from .proving import MIN_IMAGES, RELIES, Case, Proof, prove, prove_all
from .stored import store_proofs, stored_proofs
from .trial import Trial

__all__ = [
    "MIN_CARRIERS",
    "MIN_IMAGES",
    "MIN_MEMBERS",
    "RELIES",
    "SAME",
    "Case",
    "Proof",
    "Trial",
    "candidate_cases",
    "isolate",
    "member_case",
    "prove",
    "prove_all",
    "prove_candidates",
    "random_patch",
    "store_proofs",
    "stored_proofs",
    "with_proofs",
]
