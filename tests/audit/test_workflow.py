"""The workflow that the documentation offers: it parses, and its command is one that exists."""

import shlex
from pathlib import Path

import pytest
import typer
import yaml

from chinspect.cli.app import app

WORKFLOW = Path(__file__).parents[2] / "assets" / "audit-workflow.yml"


@pytest.fixture(scope="module")
def steps():
    # GitHub reads YAML 1.2, in which "on" is a word; PyYAML reads 1.1, in which it is true
    document = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8").replace("\non:", "\n'on':"))
    assert set(document) == {"name", "on", "permissions", "jobs"}
    assert document["permissions"] == {"contents": "read"}
    (job,) = document["jobs"].values()
    return job["steps"]


def test_each_step_runs_or_uses_something(steps):
    assert all(("run" in step) != ("uses" in step) for step in steps)
    assert all("@v" in step["uses"] for step in steps if "uses" in step)


def test_no_text_of_a_pull_request_reaches_a_shell(steps):
    assert not any("${{" in step["run"] for step in steps if "run" in step)


def test_the_command_is_one_of_chinspect(steps):
    scripts = [step["run"].replace("\\\n", " ") for step in steps if "run" in step]
    lines = [line for script in scripts for line in script.splitlines() if line.startswith("chinspect ")]
    assert lines
    commands = typer.main.get_command(app).commands
    for line in lines:
        _, name, *arguments = shlex.split(line)
        if name not in commands:
            pytest.skip(f"there is no verb {name!r}")
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options
