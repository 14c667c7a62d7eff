"""Images enter here: safe decoding, listing of folders, preprocessing for a network and the way back."""

from chinspect.images._folder import list_images
from chinspect.images._open import FORMATS, MAX_PIXELS, MIN_SIDE, as_picture, open_image, to_rgb
from chinspect.images.preprocessing import Preprocessing
from chinspect.images.resizers import RESIZERS, load_inputs, resize, to_input

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MIN_SIDE",
    "RESIZERS",
    "Preprocessing",
    "as_picture",
    "list_images",
    "load_inputs",
    "open_image",
    "resize",
    "to_input",
    "to_rgb",
]
