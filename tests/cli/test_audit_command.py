"""``chinspect audit``: what it refuses before any work."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from chinspect.cli.app import app
from chinspect.errors import InputError


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((40, 40, 3), 80 * i, np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fail-on", "everything"], "everything"),
        (["--baseline", "nowhere"], "no folder of an audit"),
        (["--deploy", "pillow-bilinear"], "without --detector"),
        (["--detector", "nothing.safetensors"], "no detector"),
        (["--detector", "nothing.safetensors", "--workers", "3"], "--workers has no effect"),
        (["--junit", "no/such/folder/junit.xml"], "does not exist"),
        (["--model", "tiny-clip"], "20 images at least"),
        (["--model", "tiny-clip", "--labels", "nothing.csv"], "20 images|does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(images, tmp_path, arguments, reason):
    result = CliRunner().invoke(app, ["audit", str(images), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError)
    with pytest.raises(InputError, match=reason):
        raise result.exception
    assert not (tmp_path / "out" / "audit.json").exists()
