from ._graph import Graph
from ._handlers import HANDLERS, handles
from ._operations import Push, Site
from ._tracing import trace
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
from .references import Reference, ReferenceName, check_reference, reference_images

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
    "Reference",
    "ReferenceName",
    "RelevanceMap",
    "RelevanceWarning",
    "Row",
    "Site",
    "band_edges",
    "channels",
    "check_reference",
    "composite",
    "dct_matrix",
    "frequency_bands",
    "handles",
    "inner_by_band",
    "lower_bands",
    "named_bands",
    "patch_bands",
    "patches",
    "reference_images",
    "relevance_map",
    "segments",
    "split_bands",
    "trace",
    "zigzag",
]
