"""Networks with random weights, batch norms that were calibrated, and images like preprocessed photographs."""

from __future__ import annotations

import timm
import torch
import torchvision
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn


def image(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Smooth and rough at once, any sign, about unit variance."""
    generator = torch.Generator().manual_seed(seed)
    height, width = shape[-2:]
    coarse = torch.randn((*shape[:-2], 4, 4), generator=generator, dtype=torch.float64)
    smooth = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return (smooth + 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def calibrated(model: nn.Module, size: int) -> nn.Module:
    """Batch norms with uneven weights, their statistics measured on a few images."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, 0.0, 0.2)
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    model.train()
    with torch.no_grad():
        for batch in range(2):
            model(image(6, 3, size, size, seed=1000 + batch))
    return model.eval()


def torchvision_network(name: str, size: int, num_classes: int = 1000) -> nn.Module:
    """With VGG's fully connected layers made narrow: they hold nine tenths of its 138 million weights."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=num_classes)
    if isinstance(model, torchvision.models.VGG):
        wide = [nn.Linear(512 * 49, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout()]
        model.classifier = nn.Sequential(*wide, nn.Linear(64, num_classes))
    return calibrated(model, size)


def clip_rn50(*, pool: bool, size: int = 64) -> nn.Module:
    """OpenAI's ResNet-50, with its attention pool or with the mean in its place."""
    torch.manual_seed(1)
    tower = ModifiedResNet([3, 4, 6, 3], output_dim=1024, heads=32, image_size=size)
    if not pool:
        tower.attnpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return calibrated(tower, size)


def clip_vit(image_size: int, patch_size: int, width: int, layers: int, heads: int, output_dim: int) -> nn.Module:
    torch.manual_seed(2)
    size = (image_size, patch_size, width, layers, heads)
    return VisionTransformer(*size, mlp_ratio=4.0, output_dim=output_dim).eval()


def dinov2(**options: object) -> nn.Module:
    torch.manual_seed(3)
    model = timm.create_model("vit_small_patch14_dinov2", img_size=56, pretrained=False, num_classes=0, **options)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):  # layer scale starts at 1e-5: no block would matter
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model.eval()
