"""Remedies for anomaly detectors: filters at the input, a search for their strength, a threshold taken anew.

>>> import torch
>>> from chinspect.mitigate import Blur
>>> Blur(kernel=11, sigma=2.0)(torch.ones(1, 3, 32, 32)).shape
torch.Size([1, 3, 32, 32])
"""

from chinspect.mitigate.blur import Blur, SpectralWeights
from chinspect.mitigate.filtered import Filtered
from chinspect.mitigate.recalibration import recalibrate
from chinspect.mitigate.search import SIGMAS, search_blur

__all__ = ["SIGMAS", "Blur", "Filtered", "SpectralWeights", "recalibrate", "search_blur"]
