"""Coloured MNIST is what both papers say, in numbers."""

import numpy as np
import pytest

from chinspect.datasets import coloured_mnist
from chinspect.errors import InputError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Digits of one stroke each; what is tested is how they are coloured."""
    generator = np.random.default_rng(0)
    images = np.zeros((70_000, 28, 28), np.uint8)
    images[:, 10:18, 12:16] = 255
    labels = generator.integers(0, 10, 70_000).astype(np.uint8)
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    np.savez(
        path,
        train_images=images[:60_000],
        train_labels=labels[:60_000],
        test_images=images[60_000:],
        test_labels=labels[60_000:],
    )
    return path


def test_the_variant_of_exmap(file):
    splits = coloured_mnist(file)
    assert {name: len(split.labels) for name, split in splits.items()} == {
        "train": 50_000,
        "val": 10_000,
        "test": 10_000,
    }
    for split in splits.values():
        assert (split.labels == (split.digits > 4)).all()
        assert (split.attributes[:, 0] == split.labels).mean() == pytest.approx(0.99, abs=0.005)
        red = split.images[..., 0].any((1, 2))
        assert (red == (split.attributes[:, 0] == 0)).all()
        assert not split.images[..., 2].any()
    balanced = coloured_mnist(file, balanced_test=True, limit=4_000)
    test = balanced["test"]
    assert (test.attributes[:, 0] == test.labels).mean() == pytest.approx(0.5, abs=0.04)
    assert (balanced["val"].attributes[:, 0] == balanced["val"].labels).mean() > 0.98


def test_the_variant_of_invariant_risk_minimisation(file):
    splits = coloured_mnist(file, variant="irm")
    for name, agreement in (("train", 0.85), ("val", 0.85), ("test", 0.1)):
        split = splits[name]
        assert (split.labels == (split.digits > 4)).mean() == pytest.approx(0.75, abs=0.015)
        assert (split.attributes[:, 0] == split.labels).mean() == pytest.approx(agreement, abs=0.015)
    train = splits["train"]
    halves = [(train.attributes[start::2, 0] == train.labels[start::2]).mean() for start in (0, 1)]
    assert halves == pytest.approx([0.8, 0.9], abs=0.01)


def test_ten_classes_and_three_attributes(file):
    split = coloured_mnist(file, n_classes=10, n_attributes=3, agreement=0.9, limit=2_000)["train"]
    assert split.images.shape == (2_000, 28, 28, 3)
    assert (split.labels == split.digits).all()
    assert len(np.unique(split.attributes)) == 10
    agrees = split.attributes == split.labels[:, None]
    np.testing.assert_allclose(agrees.mean(0), 0.9, atol=0.03)
    assert abs(np.corrcoef(agrees.T)[0, 1]) < 0.1  # each on its own
    white = np.array([image[:4].all((0, 2)).argmax() for image in split.images])
    assert (np.argsort(np.unique(white)) == np.arange(10)).all()
    assert np.unique(split.attributes[:, 1]).tolist() == list(range(10))


def test_seeds(file):
    first, second, third = (coloured_mnist(file, random_state=seed, limit=500)["train"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, second.images)
    assert (first.attributes != third.attributes).any()


def test_what_is_no_mnist(file, tmp_path):
    with pytest.raises(InputError, match="holds no MNIST"):
        coloured_mnist(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", train_images=np.zeros(3))
    with pytest.raises(InputError, match="holds no MNIST"):
        coloured_mnist(tmp_path / "other.npz")
    for options, message in (({"variant": "green"}, "not 'green'"), ({"n_classes": 1}, "2 to 10 classes")):
        with pytest.raises(InputError, match=message):
            coloured_mnist(file, **options)


def test_the_real_digits(real_data):
    """Sorted by digit in the file, and yet all digits are in every split."""
    splits = coloured_mnist(real_data("mnist") / "mnist.npz", limit=500)
    for split in splits.values():
        assert np.bincount(split.digits).min() > 20
