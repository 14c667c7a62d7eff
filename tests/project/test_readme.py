import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_snippets_run(tmp_path, monkeypatch):
    mpl.use("Agg")
    shutil.copytree(ROOT / "assets", tmp_path / "assets")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(snippets) == 5
    exec(compile("\n".join(snippets), "README.md", "exec"), {"print": lambda *_: None})
    assert (tmp_path / "similarity.png").exists()
    assert (tmp_path / "pair.png").exists()


@pytest.mark.parametrize("name", ["main job", "test"])
def test_there_is_one_command_for(name):
    command = re.search(rf"<!-- {name} -->\n```sh\n(.*)\n```", README)
    assert command is not None
    assert command[1].startswith("python3 -m venv .venv && .venv/bin/pip install")


def test_pictures_exist():
    assert all((ROOT / path).exists() for path in re.findall(r"!\[.*?\]\((.*?)\)", README))
