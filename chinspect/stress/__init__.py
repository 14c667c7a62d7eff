"""Stress tests: do the decisions of an anomaly detector survive changes that should not matter?

>>> from chinspect.stress import stress
>>> report = stress(detector, dataset, deploy=["pillow-bilinear"])  # doctest: +SKIP
>>> report.to_frame()[["resizer", "f1", "fpr", "fnr", "auroc"]]  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
