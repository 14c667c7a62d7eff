from .artefact import Artefact, Pixels
from .ready import ARTEFACTS, text_logo

__all__ = [
    "ARTEFACTS",
    "Artefact",
    "Pixels",
    "text_logo",
]
