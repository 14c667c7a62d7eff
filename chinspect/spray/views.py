"""The two views in which maps are compared: as they are, and whitened.

Objects are smooth, and so are their maps: neighbouring cells are alike for no other reason. What lies in one position
for a reason, as a text or a border does, stands out from such maps as a signal does from coloured noise, and the filter
that is best for that divides by the spectrum of the noise (North 1943; Turin 1960). Here the spectrum is the mean
square over all maps of each coefficient of their discrete cosine transform (DCT-II), which, unlike a Fourier transform,
takes no edge of an image for a jump:

    P_k   = mean_i |DCT(r_i)_k|^2
    w_i   = IDCT(DCT(r_i) / sqrt(P + floor)),    then divided by sum |w_i|

A whitened map shows where relevance sets in and ends. A corner mark in 8 % of 250 maps of smooth objects is found there
from 10 % of the relevance on; in the maps as they are it takes 35 %, since objects that cover the corner hold as much.
ImageNet-W's watermark on photographs shows in whitened maps only. Broad soft patterns, which whitening takes away, show
in the maps as they are. So sets are looked for in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn, idctn

from chinspect.spray.arrays import Maps, Rows

VIEWS = ("maps", "whitened")
_FLOOR = 0.05  # of the mean power: of maps without noise, whitening would leave the finest detail alone
_AXES = (1, 2)


@dataclass(frozen=True, eq=False)
class View:
    """How maps are seen when they are compared.

    Attributes:
        name: ``maps`` or ``whitened``.
        gains: (h, w), by which the coefficients of a map are multiplied; None for maps as they are.
        unit: whether rows get unit length, for the metric ``cosine``.
    """

    name: str
    gains: Rows | None = None
    unit: bool = False

    def rows(self, maps: Maps) -> Rows:
        """Maps (n, h, w) as rows (n, h * w)."""
        seen = maps
        if self.gains is not None:
            seen = idctn(dctn(maps, axes=_AXES, norm="ortho") * self.gains, axes=_AXES, norm="ortho")
            seen /= np.abs(seen).sum(_AXES, keepdims=True)
        rows: Rows = seen.reshape(len(maps), -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self.unit else rows


def views_of(maps: Maps, *, unit: bool = False) -> tuple[View, View]:
    """Both views of a set of maps (n, h, w), none of which is zero; the second is whitened by their own spectrum."""
    power = np.square(dctn(maps / np.abs(maps).sum(_AXES, keepdims=True), axes=_AXES, norm="ortho")).mean(0)
    gains = 1 / np.sqrt(power + _FLOOR * power.mean())
    return View(VIEWS[0], unit=unit), View(VIEWS[1], gains.astype(np.float32), unit=unit)
