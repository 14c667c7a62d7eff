"""Remedies at the input: filters that take away frequencies which a detector should not rely on.

They stand in `chinspect.anomaly.filters`, beside the detectors that take one as their ``layer``.
"""

from chinspect.anomaly.filters import Blur, SpectralWeights

__all__ = ["Blur", "SpectralWeights"]
