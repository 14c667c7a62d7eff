"""The types of arrays that maps are analysed in."""

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
"""Maps (n, h, w)."""
Rows = NDArray[np.float32]
"""Maps as rows (n, d), or what is computed of their cells."""
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
"""Indices of maps, or labels of clusters."""
