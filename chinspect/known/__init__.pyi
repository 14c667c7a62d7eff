from .comparing import Comparison, compare
from .controls import shuffled_strokes, watermark_controls
from .effect import Effect, Published
from .imagenet_w import response_rows, watermark_responses
from .measurement import Measurement
from .measuring import EffectList, list_effects, measure
from .models import Models, load_models
from .photographs import Photographs, load_photographs
from .registry import EFFECTS

__all__ = [
    "EFFECTS",
    "Comparison",
    "Effect",
    "EffectList",
    "Measurement",
    "Models",
    "Photographs",
    "Published",
    "compare",
    "list_effects",
    "load_models",
    "load_photographs",
    "measure",
    "response_rows",
    "shuffled_strokes",
    "watermark_controls",
    "watermark_responses",
]
