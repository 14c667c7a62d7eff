"""The known effects, as data: what they are, where they were published, what they need, and the numbers.

A new one is an entry here and a protocol: a function of models, a folder and options that gives `Findings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from chinspect.known.effect import Effect, Published


def _table(measures: tuple[str, ...], models: Mapping[str, tuple[float | None, ...]]) -> tuple[Published, ...]:
    """Published values by model, in the order of the measures; None where a source reports none."""
    return tuple(
        Published(model, {name: value for name, value in zip(measures, values, strict=True) if value is not None})
        for model, values in models.items()
    )


_IMAGENET_W = Effect(
    name="imagenet-w",
    title="a watermark in Chinese characters is taken for a carton",
    source="Li et al. 2023, A Whac-A-Mole Dilemma, arXiv:2212.04825",
    data="photographs of ImageNet (labels.csv, or one folder a WordNet id)",
    needs="classifier",
    lead="accuracy change",
    condition="watermark",
    protocol="chinspect.known.imagenet_w:measure_watermark",
    layout="chinspect.known.photographs:load_photographs",
    variants=("elsewhere",),
    published=_table(
        ("accuracy", "accuracy change", "carton accuracy change"),
        {
            "ResNet-50": (0.7639, -0.2540, 0.30),
            "ResNet-50, watermark augmentation": (0.7632, -0.0578, 0.14),
            "ResNet-50, JTT": (0.7633, -0.2640, 0.32),
            "ResNet-50, LLE": (0.7625, -0.0618, 0.10),
            "MAE-B, LLE": (None, -0.0248, None),
            "MAE-L, LLE": (None, -0.0174, None),
            "MAE-H, LLE": (None, -0.0111, None),
        },
    ),
)

_ROBUSTNESS_INDEX = Effect(
    name="robustness-index",
    title="images of one medical centre are neighbours, rather than those of one tissue",
    source="Koemen et al. 2025, PathoROB, arXiv:2507.17845",
    data="images in CLASS/CENTRE/, as PathoROB's (huggingface.co/bifold-pathomics) or any others",
    needs="encoder",
    lead="robustness index",
    condition="embedding",
    protocol="chinspect.known.confounder:measure_confounding",
    layout="chinspect.known.confounder:check_centres",
    published=_table(
        ("robustness index",),
        {
            "Virchow2": (0.861,),
            "CONCHv1.5": (0.852,),
            "UNI2-h": (0.757,),
            "Prov-GigaPath": (0.630,),
            "UNI": (0.598,),
            "CTransPath": (0.543,),
            "Phikon": (0.476,),
            "Ciga": (0.446,),
            "Phikon, Camelyon alone": (0.011,),
        },
    ),
)

_TRACES = Effect(
    name="acquisition-traces",
    title="JPEG, sharpening and rescaling are readable from embeddings, and make neighbours",
    source="Processing and acquisition traces in visual encoders, ICCV 2025",
    data="any 30 images or more, best with folders of classes",
    needs="encoder",
    lead="jpeg: readable",
    condition="embedding",
    protocol="chinspect.known.traces:measure_traces",
    layout="chinspect.known.traces:load_images",
)

EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {effect.name: effect for effect in (_IMAGENET_W, _ROBUSTNESS_INDEX, _TRACES)}
)
"""All known effects by name."""
