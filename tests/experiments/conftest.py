"""How the tests run a study: as a user does, in a process of its own, on one thread."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="session")
def run_study() -> Callable[..., None]:
    """``run_study(name, *arguments, cwd=None)`` runs ``python experiments/NAME`` and asserts that it succeeds."""

    def run(name: str, *arguments: object, cwd: Path | None = None) -> None:
        command = [sys.executable, str(STUDIES / name), *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=cwd)
        assert done.returncode == 0, done.stderr

    return run
