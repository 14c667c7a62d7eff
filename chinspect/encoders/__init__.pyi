from .cards import Card, read_card
from .edits import Edit, EditedEncoder, Project, Prune, Retrain, edited
from .encoder import Encoder
from .layers import attention_projection, candidate_layers, channel_axis, observing, output_shape
from .libraries import card_of, encoder_of
from .load import load_classifier, load_encoder
from .weights import ModelInfo, list_models

__all__ = [
    "AUTO",
    "Card",
    "Edit",
    "EditedEncoder",
    "Encoder",
    "MethodChoice",
    "ModelInfo",
    "Project",
    "Prune",
    "References",
    "Retrain",
    "attention_projection",
    "candidate_layers",
    "card_of",
    "channel_axis",
    "edited",
    "encoder_of",
    "list_models",
    "load_classifier",
    "load_encoder",
    "method_for",
    "observing",
    "output_shape",
    "read_card",
]
