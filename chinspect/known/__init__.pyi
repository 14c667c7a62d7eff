from .comparing import Comparison, compare
from .controls import shuffled_strokes, watermark_controls
from .effect import Effect, Findings, Options, Published
from .imagenet_w import response_rows, watermark_responses
from .measurement import Measurement
from .measuring import EffectList, list_effects, measure
from .models import Models, load_models
from .photographs import Photographs, load_photographs
from .registry import EFFECTS
from .together import together_rows
from .traces import measure_traces

__all__ = [
    "EFFECTS",
    "Comparison",
    "Effect",
    "EffectList",
    "Findings",
    "Measurement",
    "Models",
    "Options",
    "Photographs",
    "Published",
    "compare",
    "list_effects",
    "load_models",
    "load_photographs",
    "measure",
    "measure_traces",
    "response_rows",
    "shuffled_strokes",
    "together_rows",
    "watermark_controls",
    "watermark_responses",
]
