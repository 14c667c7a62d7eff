from ._differences import DIFFERENCES, differs
from ._graph import Graph
from ._handlers import HANDLERS, handles
from ._operations import Push, Site
from ._tracing import trace
from .adaptive import AdaptivePush, adaptive_push
from .bands import (
    PAPER_EDGES,
    BandEdges,
    Bands,
    band_edges,
    dct_matrix,
    frequency_bands,
    inner_by_band,
    lower_bands,
    named_bands,
    patch_bands,
    split_bands,
    zigzag,
)
from .components import Components, Decomposition, Partition, channels, patches, segments
from .composites import COMPOSITES, RESCALE, Composite, Row, composite
from .map import RelevanceMap, RelevanceWarning, relevance_map
from .method import Contributions, Method, MethodName, contributions
from .modes import evaluation_mode
from .precision import Precision
from .references import Reference, ReferenceName, check_reference, reference_images
from .shapley import Respond, ShapleyMap, pair_errors, shapley_map

__all__ = [
    "COMPOSITES",
    "DIFFERENCES",
    "HANDLERS",
    "PAPER_EDGES",
    "RESCALE",
    "AdaptivePush",
    "BandEdges",
    "Bands",
    "Components",
    "Composite",
    "Contributions",
    "Decomposition",
    "Graph",
    "Method",
    "MethodName",
    "Partition",
    "Precision",
    "Push",
    "Reference",
    "ReferenceName",
    "RelevanceMap",
    "RelevanceWarning",
    "Respond",
    "Row",
    "ShapleyMap",
    "Site",
    "adaptive_push",
    "band_edges",
    "channels",
    "check_reference",
    "composite",
    "contributions",
    "dct_matrix",
    "differs",
    "evaluation_mode",
    "frequency_bands",
    "handles",
    "inner_by_band",
    "lower_bands",
    "named_bands",
    "pair_errors",
    "patch_bands",
    "patches",
    "reference_images",
    "relevance_map",
    "segments",
    "shapley_map",
    "split_bands",
    "trace",
    "zigzag",
]
