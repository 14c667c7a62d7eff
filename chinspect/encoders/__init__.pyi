from .cards import Card, read_card
from .default import DEFAULT
from .edits import Edit, EditedEncoder, Project, Prune, Retrain, edited
from .encoder import Encoder
from .finite import check_finite
from .layers import attention_projection, candidate_layers, channel_axis, observing, output_shape
from .libraries import card_of, encoder_of
from .load import as_encoder, load_classifier, load_encoder
from .maps import as_map, check_layout
from .methods import USUAL, MethodChoice, References, dataset_references, is_default, method_for
from .texts import TextEncoder, load_text_encoder
from .weights import ModelInfo, list_models

__all__ = [
    "DEFAULT",
    "USUAL",
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
    "TextEncoder",
    "as_encoder",
    "as_map",
    "attention_projection",
    "candidate_layers",
    "card_of",
    "channel_axis",
    "check_finite",
    "check_layout",
    "dataset_references",
    "edited",
    "encoder_of",
    "is_default",
    "list_models",
    "load_classifier",
    "load_encoder",
    "load_text_encoder",
    "method_for",
    "observing",
    "output_shape",
    "read_card",
]
