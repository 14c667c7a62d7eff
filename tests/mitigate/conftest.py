"""A small inspection task."""

import pytest

from chinspect.datasets import MVTecCategory, load_mvtec
from chinspect.world import industrial


@pytest.fixture(scope="session")
def grainy(tmp_path_factory: pytest.TempPathFactory) -> MVTecCategory:
    """The same with originals of 448 pixels, which a detector of 224 reads: large enough for what grain does."""
    return load_mvtec(
        industrial(tmp_path_factory.mktemp("data"), variant="image-grain", n_train=18, n_test=8, seed=3, size=448)
    )


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> MVTecCategory:
    """24 training and 16 test images of 160 pixels."""
    return load_mvtec(
        industrial(tmp_path_factory.mktemp("data"), variant="image-grain", n_train=24, n_test=16, seed=3, size=160)
    )
