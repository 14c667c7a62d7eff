"""Images enter here: safe decoding, listing of folders, preprocessing for a network and the way back."""

from chinspect.images._folder import list_images
from chinspect.images._open import FORMATS, MAX_PIXELS, MIN_SIDE, open_image, to_rgb
from chinspect.images.preprocessing import Preprocessing

__all__ = ["FORMATS", "MAX_PIXELS", "MIN_SIDE", "Preprocessing", "list_images", "open_image", "to_rgb"]
