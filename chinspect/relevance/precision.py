"""The precision of components in a push.

In ``bfloat16`` layers multiply numbers of 8 significant bits and add in single precision. Activations, and with them
all factors of the rules, are computed in single precision before.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from chinspect.errors import InputError, did_you_mean

Precision = Literal["float32", "bfloat16"]


def check_precision(precision: str, device: torch.device) -> None:
    """`InputError` for an unknown precision, and for one that the processor would only imitate, slowly."""
    if precision not in get_args(Precision):
        raise InputError(
            f"unknown precision {precision!r}{did_you_mean(precision, get_args(Precision))}: "
            f"choose one of {', '.join(get_args(Precision))}."
        )
    if precision == "float32":
        return
    capable = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bfloat16()
    if not capable:
        raise InputError(f"this {device.type} has no bfloat16, which would be slower than float32: choose float32.")


def _cpu_has_bfloat16() -> bool:
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
