"""Agreement with pytorch-grad-cam (MIT) where the method is the same: maps scaled to [0, 1], to 1e-5."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from chinspect.cam import cam
from chinspect.encoders import load_classifier, load_encoder

pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam is not installed: pip install grad-cam")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the other package's own

import pytorch_grad_cam as peer  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # noqa: E402

NAMES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}


class Level(nn.Module):
    """A network whose last map has the resolution of the image, so that nothing is enlarged."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU()
        )
        self.between = nn.Conv2d(12, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.between(self.features(x)).sigmoid().mean((2, 3)))


def scaled(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As the other package shows maps: from 0 to 1, enlarged by OpenCV, and again from 0 to 1."""
    unit = [(m - m.min()) / (1e-7 + (m - m.min()).max()) for m in maps]
    large = np.stack([cv2.resize(m, size) for m in unit])
    return np.stack([(m - m.min()) / (1e-7 + (m - m.min()).max()) for m in large])


@pytest.mark.parametrize("method", NAMES)
def test_every_channel_at_the_resolution_of_the_image(method):
    module = Level().eval()
    # channels with an effect far above rounding; and its Grad-CAM++ adds 1e-6 to denominators, which must be small
    # beside squared gradients
    module.between.weight.data *= 20
    module.head.weight.data *= 1e6 if method == "gradcam++" else 1.0
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    # the largest outputs, which are positive: it divides the weights of Ablation-CAM by them
    targets = module(x).argmax(1)
    with getattr(peer, NAMES[method])(module, [module.features]) as other:
        theirs = other(x, [ClassifierOutputTarget(int(target)) for target in targets])
    ours = cam(method, module, x, target=targets, layer="features")
    np.testing.assert_allclose(scaled(ours, (16, 16)), theirs, atol=1e-5)
    assert theirs.std() > 0.05


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_a_real_network(method):
    module = load_classifier("efficientnet-lite0").module
    x = load_encoder("efficientnet-lite0").prepare("assets/cat.jpg")
    with getattr(peer, NAMES[method])(module, [module.bn2]) as other:
        theirs = other(x.clone().requires_grad_(), None)
    np.testing.assert_allclose(scaled(cam(method, module, x, layer="bn2"), (224, 224)), theirs, atol=1e-5)


def test_masks_that_are_enlarged(monkeypatch):
    """Score-CAM there enlarges from corner to corner, and half a cell off; with that here, maps agree."""
    module = load_encoder("tiny-supervised").module
    x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    layer = next(name for name, inner in module.named_modules() if isinstance(inner, nn.ReLU) and "." in name)
    with peer.ScoreCAM(module, [dict(module.named_modules())[layer]]) as other:
        theirs = other(x, [ClassifierOutputTarget(4)])

    def from_corner_to_corner(maps, x):
        return nn.functional.interpolate(maps[None], size=x.shape[2:], mode="bilinear", align_corners=True)[0]

    monkeypatch.setattr("chinspect.cam.layer.enlarged", from_corner_to_corner)
    ours = cam("scorecam", module, x, target=4, layer=layer)
    np.testing.assert_allclose(scaled(ours, (128, 128)), theirs, atol=1e-5)


def test_the_first_principal_component():
    module = load_encoder("tiny-supervised").module
    x = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    recorded = []
    layer = [name for name, inner in module.named_modules() if isinstance(inner, nn.Conv2d)][-1]
    with dict(module.named_modules())[layer].register_forward_hook(lambda _m, _i, output: recorded.append(output)):
        module(x)
    theirs = get_2d_projection(recorded[0].numpy())
    for ours, other in zip(cam("eigencam", module, x, layer=layer), theirs, strict=True):
        sign = np.sign((ours * other).sum())  # theirs is arbitrary
        np.testing.assert_allclose(ours, np.maximum(sign * other, 0), atol=1e-5 * np.abs(other).max())
