from .comparison import compare_heads, shown_columns
from .controls import class_groups, feature_groups, loss_groups, random_groups, true_groups
from .grouping import METHODS, Grouping, find_groups, linear_head
from .groups import Groups
from .heads import AFR, DFR, ERM, JTT, GroupDRO
from .maps import EXMAP, class_maps
from .pseudo import pseudo_groups
from .quality import accuracy_by_group, group_quality
from .regrouping import AVERAGE, HEADS, Regrouping, fit_head, regroup

__all__ = [
    "AFR",
    "AVERAGE",
    "DFR",
    "ERM",
    "EXMAP",
    "HEADS",
    "JTT",
    "METHODS",
    "GroupDRO",
    "Grouping",
    "Groups",
    "Regrouping",
    "accuracy_by_group",
    "class_groups",
    "class_maps",
    "compare_heads",
    "feature_groups",
    "find_groups",
    "fit_head",
    "group_quality",
    "linear_head",
    "loss_groups",
    "pseudo_groups",
    "random_groups",
    "regroup",
    "shown_columns",
    "true_groups",
]
