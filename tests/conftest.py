import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests run in as many processes as there are cores

DATA = Path(os.environ.get("CHINSPECT_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Real images, which are no part of the package: beside the checkout, or where the environment says."""


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """``real_data(name)`` is a folder of real images; the test is skipped, by that name, where it is not there."""

    def folder(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"the images {name!r} are not in {DATA} (see CHINSPECT_DATA)")
        return DATA / name

    return folder
