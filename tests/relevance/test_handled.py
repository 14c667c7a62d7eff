"""Programs that need not be written out are explained as if they were; others are written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from _networks import calibrated, image
from torch import Tensor, nn

from chinspect.relevance import _tracing, patches, relevance_map
from chinspect.relevance._handled import is_handled

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")
X = image(2, 3, 8, 8, dtype=torch.float64)
Middle = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """Some operations between two convolutions."""

    def __init__(self, middle: Middle) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.norm(self.stem(x)))).mean((2, 3))


def written_after_a_view(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return x.relu_() + flat.sum(2)[..., None, None]


def written_through_a_view(x: Tensor) -> Tensor:
    x.flatten(2).relu_()
    return x


def written_through_dropout(x: Tensor) -> Tensor:
    """Dropout gives its input back in evaluation mode."""
    F.dropout(x, training=False).relu_()
    return x


def written_after_dropout(x: Tensor) -> Tensor:
    same = F.dropout(x, training=False)
    return x.relu_() + same


def written_to_one_of_two_results(x: Tensor) -> Tensor:
    largest, _ = x.max(dim=1, keepdim=True)
    return largest.relu_() + x


@pytest.mark.parametrize(
    ("middle", "handled"),
    [
        (lambda x: x.relu(), True),
        (lambda x: x.relu_(), True),
        (lambda x: (x.sigmoid() + x).add_(x.abs()).relu_().mul_(0.5), True),
        (lambda x: F.dropout(x.relu_(), training=False), True),
        (lambda x: F.hardswish(x + 1, inplace=True), True),
        (lambda x: x.relu_() + x, True),  # torch notes the new value twice
        (written_after_a_view, False),
        (written_through_a_view, False),
        (written_through_dropout, False),
        (written_after_dropout, False),
        (written_to_one_of_two_results, False),
        (lambda x: F.prelu(x, torch.full((4,), 0.1, dtype=x.dtype)), False),
    ],
)
def test_what_is_read_as_it_is_computes_and_explains_the_same(
    middle: Middle, handled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = calibrated(Between(middle), 8).double()
    assert is_handled(torch.export.export(network, (X,)), _tracing._kept()) == handled
    read = relevance_map(network, X)
    torch.testing.assert_close(read.output, network(X))
    monkeypatch.setattr(_tracing, "is_handled", lambda *_: False)
    written = relevance_map(network, X)
    first, second = (mapped.push(patches(4)) for mapped in (written, read))
    torch.testing.assert_close(second, first, rtol=1e-9, atol=1e-9 * float(first.abs().max()))


def test_an_image_that_is_written_to_is_not_read_as_it_is() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten()).eval()
    assert not is_handled(torch.export.export(network, (X.clone(),)), _tracing._kept())


def test_what_stays_in_single_precision_by_being_written_in_place_is_not_read_as_it_is() -> None:
    more_exact = torch.full((1, 4, 1, 1), 0.1, dtype=torch.float64)
    network = calibrated(Between(lambda x: x.relu().add_(more_exact)), 8)
    assert not is_handled(torch.export.export(network, (X.float(),)), _tracing._kept())
    torch.testing.assert_close(relevance_map(network, X.float()).output, network(X.float()))
