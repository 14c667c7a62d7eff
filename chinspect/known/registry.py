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
    needs="classes or encoder",
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

_SCAM = Effect(
    name="scam",
    title="a handwritten note is read instead of the object being seen",
    source="Westerhoff et al. 2025, SCAM, arXiv:2504.04893",
    data="SCAM unpacked (huggingface.co/datasets/BLISS-e-V/SCAM, images.zip)",
    needs="zero-shot",
    lead="accuracy change",
    condition="SCAM",
    protocol="chinspect.known.scam:measure_scam",
    layout="chinspect.known.scam:read_scam",
    variants=("SynthSCAM",),
    published=_table(
        ("accuracy", "accuracy change"),
        {
            "CLIP RN50": (0.3661, -0.6115),
            "CLIP ViT-L/14": (0.4014, -0.5900),
            "OpenCLIP ViT-B/32, laion2b": (0.7468, -0.2377),
            "SigLIP ViT-B/16": (0.8140, -0.1782),
        },
    ),
)

_TYPOGRAPHIC = Effect(
    name="typographic",
    title="the name of another class, written on one's own photographs, is read instead",
    source="Goh et al. 2021, doi:10.23915/distill.00030; Materzynska et al. 2022, arXiv:2206.07835",
    data="photographs of ImageNet (labels.csv, or one folder a WordNet id)",
    needs="classes",
    lead="accuracy change",
    condition="another class's name",
    protocol="chinspect.known.typographic:measure_typographic",
    layout="chinspect.known.photographs:load_photographs",
)

_IMAGENET_ATR = Effect(
    name="imagenet-atr",
    title="the name of a similar class, written on a photograph, is read instead",
    source="Cao et al. 2023, Less is More, arXiv:2305.05095",
    data="ImageNet-Atr's TFRecords (gs://axlearn-public/tensorflow_datasets/imagenet2012_ocr_attack), the same "
    "without text in 'plain'",
    needs="classes",
    lead="accuracy change",
    condition="name written",
    protocol="chinspect.known.written:measure_written",
    layout="chinspect.known.records:load_records",
    published=_table(
        ("accuracy", "accuracy change"),
        {
            "OpenAI CLIP B/16": (0.3165, -0.3670),
            "OpenCLIP B/16": (0.2955, -0.3744),
            "their CLIP B/16": (0.3573, -0.3293),
            "their CLIP B/16, text regions filtered": (0.6878, -0.0199),
        },
    ),
)

_SPURIOUS_IMAGENET = Effect(
    name="spurious-imagenet",
    title="what often surrounds an object is taken for it",
    source="Neuhaus et al. 2023, Spurious Features Everywhere, arXiv:2212.04871",
    data="images_100_classes.zip (github.com/YanNeu/spurious_imagenet) and ImageNet's validation images in 'val'",
    needs="classes",
    lead="mean AUC",
    condition="spurious images",
    protocol="chinspect.known.spurious:measure_spurious",
    layout="chinspect.known.spurious:load_spurious",
    published=_table(("mean AUC",), {"ResNet-50": (0.851,)}),
)

_COUNTER_ANIMAL = Effect(
    name="counter-animal",
    title="animals are recognised by the background that they usually have",
    source="Wang et al. 2024, A Sober Look at the Robustness of CLIPs, arXiv:2403.11497",
    data="CounterAnimal's LAION-final (counteranimal.github.io)",
    needs="classes",
    lead="accuracy change",
    condition="counter",
    protocol="chinspect.known.groups:measure_counter_animal",
    layout="chinspect.known.groups:load_counter_animal",
)

_TRUCKS = Effect(
    name="trucks-logo",
    title="a logo on every image misleads readouts of trucks",
    source="Kauffmann et al. 2025, doi:10.1038/s42256-025-01000-2",
    data="ImageNet's eight trucks in one folder a WordNet id",
    needs="encoder",
    lead="accuracy change",
    condition="logo",
    protocol="chinspect.known.trucks:measure_logo",
    layout="chinspect.known.trucks:load_trucks",
    published=_table(
        ("accuracy", "accuracy change"),
        {
            "CLIP RN50": (0.805, -0.045),
            "SimCLR RN50": (0.745, -0.003),
            "Barlow Twins RN50": (0.802, 0.0),
            "supervised RN50": (0.832, -0.006),
            "CLIP RN50, 5 filters pruned": (0.850, -0.002),
        },
    ),
)

_COVID = Effect(
    name="covid-xray",
    title="COVID-19 is recognised by the collection that an X-ray comes from",
    source="Kauffmann et al. 2025, doi:10.1038/s42256-025-01000-2",
    data="NIH ChestX-ray8 and the COVID-19 image data collection in 'nih' and 'github', or folders SOURCE_class",
    needs="encoder",
    lead="false positive rate",
    condition="github",
    protocol="chinspect.known.covid:measure_covid",
    layout="chinspect.known.covid:load_sources",
    published=_table(("balanced accuracy", "false positive rate"), {"PubMedCLIP RN50": (0.817, 0.51)}),
)

EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        effect.name: effect
        for effect in (
            _IMAGENET_W,
            _ROBUSTNESS_INDEX,
            _TRACES,
            _TRUCKS,
            _COVID,
            _SCAM,
            _TYPOGRAPHIC,
            _IMAGENET_ATR,
            _SPURIOUS_IMAGENET,
            _COUNTER_ANIMAL,
        )
    }
)
"""All known effects by name."""
