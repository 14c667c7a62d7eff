from .agreement import Agreement, shapley_agreement
from .removal import Deletion, Score, deletion

__all__ = ["Agreement", "Deletion", "Score", "deletion", "shapley_agreement"]
