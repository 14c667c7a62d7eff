"""Layer-wise relevance propagation as one linear map, pushed forward or pulled back; see `relevance_map`."""

from chinspect.relevance._graph import Graph, trace
from chinspect.relevance._operations import HANDLERS, Push, Site, handles
from chinspect.relevance.components import (
    Components,
    band_edges,
    channels,
    frequency_bands,
    patch_bands,
    patches,
    segments,
)
from chinspect.relevance.composites import COMPOSITES, Composite, Row, composite
from chinspect.relevance.map import RelevanceMap, RelevanceWarning, relevance_map

__all__ = [
    "COMPOSITES",
    "HANDLERS",
    "Components",
    "Composite",
    "Graph",
    "Push",
    "RelevanceMap",
    "RelevanceWarning",
    "Row",
    "Site",
    "band_edges",
    "channels",
    "composite",
    "frequency_bands",
    "handles",
    "patch_bands",
    "patches",
    "relevance_map",
    "segments",
    "trace",
]
