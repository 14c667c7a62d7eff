from ._folder import list_images
from ._open import FORMATS, MAX_PIXELS, MIN_SIDE, as_picture, as_pixels, check_image_file, open_image, open_rgba, to_rgb
from .cropping import cropped_in_words
from .masks import Mask, open_mask
from .pixels import AnyImage, is_image
from .preprocessing import CROPPED, Fit, Preprocessing
from .reading import Text, can_read, read_text
from .resizers import RESIZERS, check_resizer, load_inputs, resize, to_input
from .text import MARGIN, rendered_text

__all__ = [
    "CROPPED",
    "FORMATS",
    "MARGIN",
    "MAX_PIXELS",
    "MIN_SIDE",
    "RESIZERS",
    "AnyImage",
    "Fit",
    "Mask",
    "Preprocessing",
    "Text",
    "as_picture",
    "as_pixels",
    "can_read",
    "check_image_file",
    "check_resizer",
    "cropped_in_words",
    "is_image",
    "list_images",
    "load_inputs",
    "open_image",
    "open_mask",
    "open_rgba",
    "read_text",
    "rendered_text",
    "resize",
    "to_input",
    "to_rgb",
]
