"""A detector of a few lines and a data set of a few small images."""

import pytest
from _nearest import Nearest

from chinspect.datasets import MVTecCategory, load_mvtec
from chinspect.images.resizers import load_inputs
from chinspect.world import industrial


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> MVTecCategory:
    """12 training and 16 test images of 160 pixels."""
    return load_mvtec(
        industrial(tmp_path_factory.mktemp("data"), variant="image-grain", n_train=12, n_test=16, seed=3, size=160)
    )


@pytest.fixture(scope="session")
def grainy(tmp_path_factory: pytest.TempPathFactory) -> MVTecCategory:
    """The same with originals of 448 pixels, which a detector of 224 reads: large enough for what grain does."""
    return load_mvtec(
        industrial(tmp_path_factory.mktemp("data"), variant="image-grain", n_train=12, n_test=8, seed=3, size=448)
    )


@pytest.fixture(scope="session")
def nearest(dataset: MVTecCategory) -> Nearest:
    return Nearest(load_inputs(dataset.train[:8], "opencv-nearest", 32))
