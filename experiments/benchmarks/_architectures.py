"""Small variants of the architectures that people use, with random weights, as encoders (N, C, H, W) -> (N, D).

Batch norms are calibrated on a few images and layer scales made visible (many start at 1e-5, and a block that does not
matter is not tested).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from experiments.benchmarks._blocks import LAYERS, WAYS, block

TORCHVISION = {
    "alexnet": 64,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "resnet50": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11_bn": 64,
    "vit_b_32": 224,
    "wide_resnet50_2": 64,
}
"""Names of torchvision's classifiers, and pixels along the side."""

_SMALL_VIT = {"img_size": 64, "embed_dim": 96, "depth": 3, "num_heads": 3}

TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "aimv2_large_patch14_224": (56, {**_SMALL_VIT, "img_size": 56}),
    "bat_resnext26ts": (256, {}),
    "beit_base_patch16_224": (64, _SMALL_VIT),
    "beitv2_base_patch16_224": (64, _SMALL_VIT),
    "botnet26t_256": (256, {}),
    "cait_xxs24_224": (64, {"img_size": 64, "depth": 3}),
    "coat_lite_tiny": (64, {"img_size": 64}),
    "coatnet_pico_rw_224": (64, {"img_size": 64}),
    "convit_tiny": (64, {"img_size": 64, "depth": 4, "local_up_to_layer": 3}),
    "convmixer_768_32": (64, {}),
    "convnext_atto": (64, {}),
    "convnextv2_atto": (64, {}),
    "crossvit_9_240": (240, {}),
    "cspresnet50": (64, {}),
    "davit_tiny": (64, {"depths": (1, 1, 1, 1)}),
    "deit3_small_patch16_224": (64, _SMALL_VIT),
    "densenet121": (64, {}),
    "dla46_c": (64, {}),
    "dm_nfnet_f0": (64, {}),
    "dpn48b": (64, {}),
    "edgenext_xx_small": (64, {}),
    "efficientformer_l1": (224, {}),
    "efficientformerv2_s0": (224, {}),
    "efficientnet_b0": (64, {}),
    "efficientnet_lite0": (64, {}),
    "efficientvit_b0": (64, {}),
    "efficientvit_m0": (64, {"img_size": 64}),
    "eva02_tiny_patch14_224": (56, {"img_size": 56, "depth": 3}),
    "fastvit_t8": (64, {}),
    "fasternet_t0": (64, {}),
    "flexivit_small": (64, _SMALL_VIT),
    "focalnet_tiny_srf": (64, {}),
    "gcvit_xxtiny": (224, {}),
    "ghostnet_050": (64, {}),
    "gmlp_ti16_224": (64, {"img_size": 64}),
    "halonet26t": (256, {}),
    "hardcorenas_a": (64, {}),
    "hgnetv2_b0": (64, {}),
    "hiera_tiny_224": (224, {"stages": (1, 1, 2, 1)}),
    "inception_next_atto": (64, {}),
    "inception_v4": (96, {}),
    "lambda_resnet26rpt_256": (256, {}),
    "lcnet_035": (64, {}),
    "levit_128s": (64, {"img_size": 64}),
    "mambaout_femto": (64, {}),
    "maxvit_pico_rw_256": (64, {"img_size": 64}),
    "mixer_s16_224": (64, {"img_size": 64}),
    "mnasnet_small": (64, {}),
    "mobilenetv3_small_100": (64, {}),
    "mobilenetv4_conv_small": (64, {}),
    "mobileone_s0": (64, {}),
    "mobilevit_xxs": (64, {}),
    "mobilevitv2_050": (64, {}),
    "mvitv2_tiny": (64, {"img_size": 64}),
    "naflexvit_base_patch16_gap": (64, {"embed_dim": 96, "depth": 3, "num_heads": 3}),
    "nest_tiny": (224, {}),
    "nextvit_small": (64, {}),
    "nf_resnet26": (64, {}),
    "pit_ti_224": (64, {"img_size": 64}),
    "poolformer_s12": (64, {}),
    "poolformerv2_s12": (64, {}),
    "pvt_v2_b0": (64, {}),
    "rdnet_tiny": (64, {}),
    "regnetx_002": (64, {}),
    "regnety_002": (64, {}),
    "repghostnet_050": (64, {}),
    "repvgg_a0": (64, {}),
    "repvit_m0_9": (64, {}),
    "res2net50_14w_8s": (64, {}),
    "resmlp_12_224": (64, {"img_size": 64}),
    "resnest14d": (64, {}),
    "resnetv2_18": (64, {}),
    "samvit_base_patch16_224": (64, _SMALL_VIT),
    "selecsls42": (64, {}),
    "seresnet18": (64, {}),
    "sequencer2d_s": (64, {"img_size": 64, "layers": (1, 1, 1, 1)}),
    "shvit_s1": (64, {}),
    "skresnet18": (64, {}),
    "starnet_s050": (64, {}),
    "swiftformer_xs": (64, {}),
    "swin_tiny_patch4_window7_224": (224, {"depths": (2, 2, 1, 1)}),
    "swinv2_tiny_window8_256": (64, {"img_size": 64, "depths": (1, 1, 2, 1)}),
    "tinynet_e": (64, {}),
    "tiny_vit_5m_224": (224, {}),
    "tnt_s_patch16_224": (64, {"img_size": 64, "depth": 3}),
    "twins_svt_small": (64, {"img_size": 64, "depths": (1, 1, 2, 1)}),
    "visformer_tiny": (64, {"img_size": 64}),
    "vit_base_patch16_reg4_gap_256": (64, _SMALL_VIT),
    "vit_base_patch16_siglip_224": (64, _SMALL_VIT),
    "vit_small_patch14_dinov2": (56, {**_SMALL_VIT, "img_size": 56}),
    "vit_small_patch16_dinov3": (64, _SMALL_VIT),
    "vit_tiny_patch16_224": (64, {"img_size": 64, "depth": 3}),
    "vitamin_small_224": (64, {"img_size": 64}),
    "volo_d1_224": (224, {}),
    "xception41": (64, {}),
    "xcit_nano_12_p16_224": (64, {"img_size": 64, "depth": 3}),
}
"""Names of timm's models, pixels along the side, and the options that make them small."""


@dataclass(frozen=True)
class Architecture:
    """A network and the shape (N, C, H, W) of its images."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (1, 3, 64, 64)
    dtype: torch.dtype = torch.float32


def architectures() -> dict[str, Architecture]:
    """All, by their library and name; those of a library that is not installed are missing."""
    result = {
        f"torchvision:{name}": Architecture(lambda name=name: torchvision_network(name), (1, 3, size, size))
        for name, size in TORCHVISION.items()
    }
    result |= {
        f"timm:{name}": Architecture(
            lambda name=name, options=options: timm.create_model(name, num_classes=0, **options), (1, 3, size, size)
        )
        for name, (size, options) in TIMM.items()
    }
    return result | open_clip_towers() | transformers_towers() | blocks()


def torchvision_network(name: str) -> nn.Module:
    """With 64 classes; VGG's and AlexNet's fully connected layers made narrow (they are nine tenths of the weights)."""
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, num_classes=64, **options)
    if isinstance(model, (torchvision.models.VGG, torchvision.models.AlexNet)):
        width = next(module.in_features for module in model.classifier if isinstance(module, nn.Linear))
        model.classifier = nn.Linear(width, 64)
    return model


def open_clip_towers() -> dict[str, Architecture]:
    """The image towers of open_clip."""
    import open_clip
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.transformer import VisionTransformer

    return {
        "open_clip:RN50": Architecture(
            lambda: ModifiedResNet([1, 1, 1, 1], output_dim=64, heads=4, image_size=64, width=32)
        ),
        "open_clip:ViT": Architecture(lambda: VisionTransformer(64, 16, 96, 3, 3, mlp_ratio=4.0, output_dim=64)),
        "open_clip:convnext_base": Architecture(
            lambda: open_clip.create_model("convnext_base", force_image_size=64).visual
        ),
        "open_clip:MobileCLIP-S1": Architecture(lambda: open_clip.create_model("MobileCLIP-S1").visual, (1, 3, 64, 64)),
    }


class Pooled(nn.Module):
    """The pooled output of a model of the transformers library."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D)."""
        return self.model(pixel_values=x).pooler_output


def transformers_towers() -> dict[str, Architecture]:
    """The image towers of transformers, if it is installed."""
    try:
        import transformers as hub
    except ImportError:
        return {}
    small = {"image_size": 64, "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3}
    small |= {"intermediate_size": 192}
    return {
        "transformers:ViT": Architecture(lambda: Pooled(hub.ViTModel(hub.ViTConfig(**small)))),
        "transformers:DINOv2": Architecture(lambda: Pooled(hub.Dinov2Model(hub.Dinov2Config(**small)))),
        "transformers:CLIP": Architecture(lambda: Pooled(hub.CLIPVisionModel(hub.CLIPVisionConfig(**small)))),
        "transformers:SigLIP": Architecture(lambda: Pooled(hub.SiglipVisionModel(hub.SiglipVisionConfig(**small)))),
        "transformers:ConvNeXtV2": Architecture(
            lambda: Pooled(
                hub.ConvNextV2Model(hub.ConvNextV2Config(depths=[1, 1, 2, 1], hidden_sizes=[16, 32, 64, 96]))
            )
        ),
    }


def blocks() -> dict[str, Architecture]:
    """Layers that are in none of the others, each in a small network, and other ways to call one."""
    layers = {f"layer:{name}": Architecture(partial(block, name), (1, 3, 32, 32)) for name in LAYERS}
    return layers | {f"way:{name}": Architecture(*way) for name, way in WAYS.items()}


def image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Smooth and rough at once, any sign, about unit variance, as preprocessed photographs are."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((*shape[:-2], 4, 4), generator=generator)
    smooth = nn.functional.interpolate(coarse, size=shape[-2:], mode="bilinear")
    return smooth + 0.3 * torch.randn(shape, generator=generator)


def calibrate(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Random weights that behave like trained ones: statistics of batch norms, layer scales, gains."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        if norm.affine and norm.weight.dtype == torch.float32:
            nn.init.uniform_(norm.weight, 0.6, 1.4)
            nn.init.normal_(norm.bias, 0.0, 0.2)
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.numel() and float(parameter.detach().abs().max()) < 1e-3:
            # layer scales, zero-initialised gains and biases, position tables
            nn.init.normal_(parameter, 1.0 if "gamma" in name or "scale" in name else 0.0, 0.1)
    if norms and next(model.parameters()).dtype == torch.float32:
        model.eval()
        for norm in norms:
            norm.train()
        with torch.no_grad():
            for batch in range(2):
                model(image((4, *shape[1:]), seed=1000 + batch))
    for module in model.modules():
        module.training = False  # what eval does, which exported modules forbid
    return model
