"""Training sets larger than the memory, and longer than anybody waits: a file, a bound, or a sentence with numbers."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chinspect.anomaly import PatchCore, _effort, _memory
from chinspect.anomaly._effort import bounded, tell
from chinspect.anomaly._memory import gathered, table
from chinspect.errors import InputError, SlowWarning


def images(n: int, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 0.8 - 0.4


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layer2 = nn.Conv2d(3, 4, 3, 2, 1)
        self.layer3 = nn.Conv2d(4, 8, 3, 2, 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer3(self.layer2(x)).mean((2, 3))


@pytest.mark.parametrize("coreset", [0.3, 1.0])
def test_in_a_file_everything_is_as_in_memory(monkeypatch: pytest.MonkeyPatch, coreset: float) -> None:
    def fitted() -> PatchCore:
        return PatchCore(backbone=Pyramid().eval(), coreset=coreset, size=32).fit(images(6))

    in_memory = fitted()
    monkeypatch.setattr(_memory, "free_memory", lambda: 0)
    monkeypatch.setattr("chinspect.anomaly.patchcore.check_memory", lambda _size: None)
    in_file = fitted()
    assert torch.equal(in_file.bank_, in_memory.bank_)
    np.testing.assert_array_equal(in_file.held_out_scores_, in_memory.held_out_scores_)
    np.testing.assert_array_equal(in_file.decision_function(images(2)), in_memory.decision_function(images(2)))


def test_a_table_in_a_file_holds_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "free_memory", lambda: 0)
    numbers = torch.rand(9000, 3, dtype=torch.float64)
    stored = table(9000, 3, numbers)
    stored.copy_(numbers)
    rows = torch.randperm(9000)[:5000]
    assert torch.equal(stored, numbers)
    assert torch.equal(gathered(stored, rows), numbers[rows])
    assert gathered(stored, torch.arange(9000)) is stored


def test_where_there_is_room_nowhere_the_bytes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "free_memory", lambda: 1000)
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage(0, 0, 2 * 10**9))
    with pytest.raises(InputError, match=r"needs 4\.0 GB for its patches and there are 2\.0 GB in '.*\(size\)"):
        table(10**6, 1000, torch.empty(0))
    with pytest.raises(InputError, match=r"and there are 0\.0 GB of memory: "):
        PatchCore(backbone=Pyramid().eval(), size=32).fit(images(6))


def test_the_control_group_bounds_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    machine = _memory.free_memory()
    (tmp_path / "memory.current").write_text("7000\n")
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 500\n")
    (tmp_path / "memory.max").write_text("8000\n")
    assert _memory.free_memory() == 1500
    (tmp_path / "memory.max").write_text("max\n")
    assert abs(_memory.free_memory() - machine) < machine / 2


def test_a_coreset_is_as_large_as_time_allows() -> None:
    # MVTec AD's screw and hazelnut, its largest categories, with a wide ResNet-50 at 224 pixels
    assert bounded(0.1, 320 * 28 * 28, 1024) == 0.1
    assert 0.06 < bounded(0.1, 391 * 28 * 28, 1024) < 0.1
    # 100 X-rays of 2048 pixels: as much work as the bound, whatever the number
    patches = 100 * 256 * 256
    assert 900 < bounded(0.1, patches, 1024) * patches < 1100
    assert bounded(0.1, patches, 1024) == pytest.approx(4 * bounded(0.1, 2 * patches, 1024))


def test_the_bound_holds_for_the_default_and_not_for_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_effort, "_WORK", 10_000_000)
    sizes = [len(PatchCore(backbone=Pyramid().eval(), coreset=c, size=32).fit(images(6)).bank_) for c in (None, 0.1)]
    assert sizes[1] == 154  # a tenth of 6 x 16 x 16
    assert sizes[0] < 20


def test_how_long_it_takes_is_told_before(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    monkeypatch.setattr(_effort, "_rate", lambda: 1e10)
    tell(0.1, 10_000, 1024, 50.0)
    assert not recwarn.list
    with pytest.warns(SlowWarning, match=r"compares 200,000 patches with 20,000 prototypes and takes about 16 minutes"):
        tell(0.1, 200_000, 1024, 120.0)  # 2 minutes of the backbone, 4e9 pairs of 1,357 multiply-adds, 1.6 times
    with pytest.warns(SlowWarning, match=r"takes about 24\.2 hours"):
        tell(0.1, 2_000_000, 1024, 120.0)


def test_large_images_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chinspect.anomaly.patchcore._PIXELS", 2 * 64**2 + 1)
    batches: list[int] = []
    network = Pyramid().eval()
    network.layer2.register_forward_pre_hook(lambda _module, inputs: batches.append(len(inputs[0])))
    detector = PatchCore(backbone=network, coreset=0.1).fit(images(3, size=64))
    batches.clear()
    detector.decision_function(images(3, size=64))
    assert batches == [2, 1]
