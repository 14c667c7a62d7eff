"""Remedies that can be undone: filters and thresholds for detectors; pruning, projection and unlearning for encoders.

>>> import torch
>>> from chinspect.mitigate import Blur
>>> Blur(kernel=11, sigma=2.0)(torch.ones(1, 3, 32, 32)).shape
torch.Size([1, 3, 32, 32])
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
