from .agreement import Agreement, shapley_agreement
from .removal import Deletion, Score, deletion
from .several import deletions_in_words

__all__ = ["Agreement", "Deletion", "Score", "deletion", "deletions_in_words", "shapley_agreement"]
