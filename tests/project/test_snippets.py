"""Every snippet of the documentation runs, or says why it does not; commands name options that there are."""

import shutil
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import typer
from _pages import DOCS, PAGES, ROOT, Snippet, name, snippets, studies

from chinspect.cli.app import main
from chinspect.cli.frame import app

WITH_CODE = [page for page in PAGES if any(snippets(page))]
COMMANDS = [
    (snippet, words)
    for page in PAGES
    for snippet in snippets(page)
    if snippet.language == "sh"
    for words in snippet.commands
]


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with the pictures of the documentation, in which a reader would stand."""
    mpl.use("Agg")
    shutil.copytree(ROOT / "assets", tmp_path / "assets")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHINSPECT_GRAPHS", str(tmp_path.parent / "graphs"))
    return tmp_path


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_the_snippets_of_a_page_run(page, workplace, monkeypatch):
    names: dict[str, object] = {"__name__": "__main__"}
    monkeypatch.syspath_prepend(str(workplace))
    for snippet in snippets(page):
        if snippet.reason:
            continue
        if snippet.language == "python":
            exec(compile(snippet.code, str(page), "exec"), names)
        else:
            run_commands(snippet, monkeypatch)


def run_commands(snippet: Snippet, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in snippet.commands:
        if words[0] != "chinspect":
            continue  # installing, copying and studies, of which the tests below look at the words
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == snippet.status, words


@pytest.mark.parametrize(
    ("snippet", "words"),
    [case for case in COMMANDS if case[1][0] == "chinspect"],
    ids=lambda value: " ".join(value[1:4]) if isinstance(value, list) else name(value.page),
)
def test_a_command_names_a_verb_and_its_options(snippet, words):
    command = typer.main.get_command(app)
    context = command.make_context("chinspect", [], resilient_parsing=True)
    rest = words[1:]
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest[0]]
        context = command.make_context(rest[0], rest[1:], parent=context)
        rest = [] if not hasattr(command, "commands") else rest[1:]
    assert not rest, f"{name(snippet.page)}: chinspect has no verb {rest[0]!r}"


@pytest.mark.parametrize("page", [page for page in PAGES if studies(page)], ids=name)
def test_studies_have_the_options_that_a_page_names(page):
    for script, *words in studies(page):
        path = ROOT / script
        sources = [path] if path.is_file() else sorted(path.glob("*.py"))
        assert sources, f"there is no study {script}"
        text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
        options = [word for word in words if word.startswith("--")]
        # argparse names an option with its dashes, `experiments.study.option` without
        assert all(f'"{option}"' in text or f'"{option[2:]}"' in text for option in options), (script, options)


def test_what_is_not_run_says_why():
    reasons = [snippet.reason for page in PAGES for snippet in snippets(page) if snippet.reason]
    assert all(len(reason.split()) >= 4 for reason in reasons)
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert text.count("<!-- not run: ") == len(reasons), f"a reason stands before no snippet in {DOCS}"
