"""Rules that share relevance among pixels see through what a model does to the image before its first layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from _networks import image
from torch import Tensor, nn

from chinspect.relevance import Composite, Row, patches, relevance_map
from chinspect.relevance.rules import Flat, Rule, WSquare, ZBox

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")

KERNEL, GREY = (torch.randn(4, c, 3, 3, generator=torch.Generator().manual_seed(c)).double() for c in (3, 1))
MEAN = torch.tensor([0.4, 0.5, 0.6]).double().view(3, 1, 1)
RULES = {"flat": Flat(), "w-square": WSquare(), "z-box": ZBox(low=-5.0, high=5.0)}
BEFORE = {
    "nothing": lambda x: x,
    "normalised": lambda x: (x - MEAN) / 0.25,
    "negated": lambda x: -x,
    "flipped": lambda x: x.flip(3),
    "rolled": lambda x: x.roll(2, 2),
    "cropped": lambda x: x[:, :, 1:-1, 2:],
    "channels reversed": lambda x: x[:, [2, 1, 0]],
    "split and joined": lambda x: torch.cat(x.split(1, 1)[::-1], 1),
    "padded": lambda x: F.pad(x, (1, 1, 2, 0)),
    "grey by mean": lambda x: x.mean(1, keepdim=True),
    "grey by sum": lambda x: x.sum(1, keepdim=True),
    "enlarged": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "enlarged bicubically": lambda x: F.interpolate(x, size=(11, 13), mode="bicubic"),
}


class Network(nn.Module):
    def __init__(self, before: str) -> None:
        super().__init__()
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        x = BEFORE[self.before](x)
        return F.conv2d(x, KERNEL if x.shape[1] == 3 else GREY).relu().flatten(1)


# the shift of a normalisation inside the model absorbs a fraction of z-box's relevance, as a bias does
CONSERVED = [(before, rule) for before in BEFORE for rule in RULES if (before, rule) != ("normalised", "z-box")]


@pytest.mark.parametrize(("before", "rule"), CONSERVED)
def test_all_relevance_reaches_the_pixels(before: str, rule: str) -> None:
    mapped = relevance_map(Network(before), image(1, 3, 9, 8, dtype=torch.float64), table(RULES[rule]))
    torch.testing.assert_close(mapped.push(patches(3)).sum(0), mapped.output[0], rtol=1e-4, atol=1e-4)


class Padded(nn.Module):
    def __init__(self, inside: bool) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, KERNEL, padding=2) if self.inside else F.conv2d(F.pad(x, (2, 2, 2, 2)), KERNEL)
        return y.relu().flatten(1)


@pytest.mark.parametrize("rule", RULES)
def test_padding_before_a_convolution_is_its_own_padding(rule: str) -> None:
    x = image(1, 3, 9, 8, dtype=torch.float64)
    tables = [relevance_map(Padded(inside), x, table(RULES[rule])).push(patches(3)) for inside in (True, False)]
    torch.testing.assert_close(*tables)


def table(rule: Rule) -> Composite:
    return Composite("first", (Row(rule),))
