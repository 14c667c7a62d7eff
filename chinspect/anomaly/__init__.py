"""Anomaly detectors that explain themselves: how anomalous an image is, and which of its pixels make it so."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
