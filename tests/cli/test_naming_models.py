"""Names on the command line: a checkpoint with its architecture wherever a model is named, and near misses."""

import re

import pytest
import torch
from PIL import Image
from typer.main import get_command

from chinspect.cli.app import app
from chinspect.encoders import load_encoder
from tests.cli.test_cli import TRUCKS, run  # noqa: F401, a fixture


def verbs() -> dict[str, dict[str, object]]:
    """The options of each verb and of each verb of a group, by its name."""
    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    for name, group in list(commands.items()):
        commands |= {f"{name} {inner}": verb for inner, verb in getattr(group, "commands", {}).items()}
    return {name: {option.name: option for option in verb.params} for name, verb in commands.items()}


def test_wherever_a_model_is_named_there_is_an_option_for_its_architecture() -> None:
    named = {name for name, options in verbs().items() if {"model", "backbone"} & set(options)}
    assert {"explain-similarity", "spray", "choose-method", "evaluate", "known run", "mitigate prune", "fit"} <= named
    assert named == {name for name, options in verbs().items() if "arch" in options}


def test_a_checkpoint_is_a_backbone_and_the_detector_opens_again(run, tmp_path) -> None:  # noqa: F811
    torch.save(load_encoder("tiny-clip").module.state_dict(), tmp_path / "mine.pth")
    (tmp_path / "train").mkdir()
    for i in range(3):
        Image.effect_noise((64, 64), 20 + i).save(tmp_path / "train" / f"{i}.png")
    checkpoint = ("--backbone", str(tmp_path / "mine.pth"))
    fit = ("fit", "patchcore", str(tmp_path / "train"), "--out", str(tmp_path / "d.st"), "--size", "64")
    status, _, err = run(*fit, *checkpoint)
    assert status == 2
    assert "call it ARCH@PATH, such as 'simclr-rn50@" in err
    assert run(*fit, *checkpoint, "--arch", "tiny-clip")[0] == 0
    assert run("score", str(tmp_path / "d.st"), str(tmp_path / "train"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["strss"], "stress"),
        (["models", "--jsno"], "--json"),
        (["fit", "patchcoer", ".", "--out", "d.st"], "patchcore"),
        (["known", "run", "imagnet-w", "--data", "."], "imagenet-w"),
        (["evaluate", ".", "--model", "efficientnet-lite_0"], "efficientnet-lite0"),
        (["evaluate", ".", "--artefact", "watermrak"], "watermark"),
        (["explain-similarity", *TRUCKS, "--method", "rescal"], "rescale"),
        (["explain-similarity", *TRUCKS, "--composite", "epsilon_pls"], "epsilon_plus"),
    ],
)
def test_what_was_meant_is_told(run, arguments, meant) -> None:  # noqa: F811
    model = ["--model", "tiny-clip"] if arguments[0] == "explain-similarity" else []
    status, _, err = run(*arguments, *model)
    assert status == 2
    assert re.search(rf"([Dd]id you mean|Possible options:) '?{re.escape(meant)}'?", err)
