"""Names in foreign checkpoints: prefixes that training puts before those of the network, and what it keeps beside it.

Where a method trains two copies of a network, the one that its authors evaluate is taken: the query encoder of MoCo,
the teacher of DINO, the network that is trained by gradients in solo-learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import takewhile

from torch import Tensor

_COMPILED = "_orig_mod."  # of torch.compile, at any depth
_HEADS = ("projector.", "predictor.", "projection_head.", "prediction_head.", "prototypes.", "classifier.", "queue")
_MOMENTUM = tuple(f"momentum_{name}" for name in ("backbone.", "encoder.", *_HEADS))

# The prefix of a network's own names, and those of what is left out on purpose, because the network does not need it.
_LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "module.": (),  # data-parallel training
    "model.": ("criterion.", "loss.", "loss_fn."),  # Lightning
    "_feature_blocks.": (),  # VISSL
    "encoder_q.": ("encoder_k.", "queue"),  # MoCo v1 and v2
    "base_encoder.": ("momentum_encoder.", "predictor."),  # MoCo v3
    "teacher.": ("student.",),  # DINOv2, in training
    # Barlow Twins, VICReg, DINO, solo-learn; batch norm behind Barlow Twins' projector
    "backbone.": ("bn.", "head.", "dino_head.", "ibot_head.", "dino_loss.", *_HEADS, *_MOMENTUM),
    "encoder.": (*_HEADS, *_MOMENTUM),  # SimSiam, solo-learn's first versions
    "visual.": (  # CLIP: OpenAI, open_clip, PubMedCLIP
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "text.",
        "text_decoder.",
        "logit_scale",
        "logit_bias",
        "input_resolution",
        "context_length",
        "vocab_size",
    ),
}
_WITHOUT_PREFIX = ("projection_head.", "prototypes.")  # SwAV keeps its heads beside names that are the network's own


def without_prefixes(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """The tensors under the network's own names, as far as their prefixes are known.

    Args:
        expected: names in the network; a prefix that begins one of them is none.
    """
    result = {key.replace(_COMPILED, ""): value for key, value in state.items()}
    while layout := next((prefix for prefix in _LAYOUTS if _wraps(prefix, result, expected)), None):
        beside = _LAYOUTS[layout]
        result = {key.removeprefix(layout): value for key, value in result.items() if not key.startswith(beside)}
    left_out = tuple(name for name in _WITHOUT_PREFIX if not any(key.startswith(name) for key in expected))
    return {key: value for key, value in result.items() if not key.startswith(left_out)}


def prefix_hint(state: Collection[str], expected: Collection[str]) -> str:
    """Where the names of the network stand among those of a checkpoint, for a sentence; empty where that is no help."""
    names = set(expected)
    below: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for depth in range(1, len(parts)):
            if ".".join(parts[depth:]) in names:
                below[".".join(parts[:depth])] += 1
                break
    if below:
        prefix, count = below.most_common(1)[0]
        return f"; {count} of its names fit below {prefix + '.'!r}: save that part alone"
    columns = zip(*(key.split(".")[:-1] for key in state), strict=False)
    common = "".join(f"{column[0]}." for column in takewhile(lambda column: len({*column}) == 1, columns))
    return f"; all its names begin with {common!r}" if common else ""


def _wraps(prefix: str, state: Mapping[str, Tensor], expected: Collection[str]) -> bool:
    """Whether names of the network stand behind a prefix, which it does not have itself, and which tells two apart."""
    inner = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
    return bool(inner) and not any(key.startswith(prefix) for key in expected) and state.keys().isdisjoint(inner)
