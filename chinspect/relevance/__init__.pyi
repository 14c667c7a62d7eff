from ._graph import Graph, trace
from ._handlers import HANDLERS, handles
from ._operations import Push, Site
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
from .composites import COMPOSITES, Composite, Row, composite
from .map import RelevanceMap, RelevanceWarning, relevance_map

__all__ = [
    "COMPOSITES",
    "HANDLERS",
    "PAPER_EDGES",
    "BandEdges",
    "Bands",
    "Components",
    "Composite",
    "Decomposition",
    "Graph",
    "Partition",
    "Push",
    "RelevanceMap",
    "RelevanceWarning",
    "Row",
    "Site",
    "band_edges",
    "channels",
    "composite",
    "dct_matrix",
    "frequency_bands",
    "handles",
    "inner_by_band",
    "lower_bands",
    "named_bands",
    "patch_bands",
    "patches",
    "relevance_map",
    "segments",
    "split_bands",
    "trace",
    "zigzag",
]
