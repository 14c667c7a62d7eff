from .controls import class_groups, feature_groups, loss_groups, random_groups, true_groups
from .groups import Groups
from .heads import AFR, DFR, ERM, JTT, GroupDRO
from .maps import EXMAP, class_maps
from .pseudo import pseudo_groups
from .quality import accuracy_by_group, group_quality
from .regrouping import HEADS, METHODS, Regrouping, regroup

__all__ = [
    "AFR",
    "DFR",
    "ERM",
    "EXMAP",
    "HEADS",
    "JTT",
    "METHODS",
    "GroupDRO",
    "Groups",
    "Regrouping",
    "accuracy_by_group",
    "class_groups",
    "class_maps",
    "feature_groups",
    "group_quality",
    "loss_groups",
    "pseudo_groups",
    "random_groups",
    "regroup",
    "true_groups",
]
