"""An encoder of one's own by name: `package.module:function`, where the function gives an `Encoder` or a module.

    # mine.py
    def encoder():
        return chinspect.Encoder.wrap(network, size=224, mean=..., std=...)

    chinspect explain-similarity a.jpg b.jpg --model mine:encoder

The code of the module runs, as with `python -m`. It is looked for where Python looks and in the current folder.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chinspect.encoders.encoder import Encoder
from chinspect.errors import ImageWarning, InputError, one_line
from chinspect.images import Preprocessing

_IMAGENET = Preprocessing(224, "shortest", "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256)


def names_function(name: str) -> bool:
    """Whether a name has the form `package.module:function`."""
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name) is not None


def own_encoder(name: str, device: torch.device) -> Encoder:
    """What the function gives, in evaluation mode, without gradients and on the device, called by its name.

    A module that is no `Encoder` says nothing of its images: they are prepared as is usual for ImageNet, and an
    `ImageWarning` says so.

    Raises `InputError` where there is no such module or function, where it fails, and for what is no encoder.
    """
    result = _called(name)
    if isinstance(result, Encoder):
        module, preprocessing = result.module, result.preprocessing
    elif isinstance(result, nn.Module):
        module, preprocessing = result, _IMAGENET
        warnings.warn(
            f"{name!r} gives a module, so its images are prepared as usual for ImageNet (256, cropped to 224 pixels): "
            "let it give an Encoder, as Encoder.wrap makes one, if it was trained otherwise.",
            ImageWarning,
            stacklevel=2,
        )
    else:
        raise InputError(f"{name!r} gives {type(result).__name__}: an Encoder or a torch module is needed.")
    return Encoder.wrap(module, **asdict(preprocessing), name=name, device=device)


def _called(name: str) -> Any:
    path, _, attribute = name.partition(":")
    with _current_folder():
        try:
            module = importlib.import_module(path)
        except Exception as error:  # the user's own code runs, which raises what it wants
            raise InputError(
                f"The module {path!r} of {name!r} cannot be imported ({one_line(error)}): start in the folder where it "
                "lies, or install it."
            ) from error
        function = getattr(module, attribute, None)
        if not callable(function):
            raise InputError(f"The module {path!r} has no function {attribute!r}: {name!r} names no encoder.")
        try:
            return function()
        except Exception as error:
            raise InputError(f"{name!r} fails ({one_line(error)}).") from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """The current folder as the last place where Python looks: scripts that pip installs do not look there."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
