"""The site is built without warnings and without a network, and what its pages refer to is there.

Building takes a minute and a half, so that it is asked for: with ``CHINSPECT_SITE=1``, as continuous integration does.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from _pages import DOCS, PAGES, ROOT, name

import chinspect

PACKAGE = Path(chinspect.__file__).parent
ROOMS = ["chinspect", *sorted(f"chinspect.{stub.parent.name}" for stub in PACKAGE.glob("*/__init__.pyi"))]


class References(HTMLParser):
    """What a page refers to, loads, and offers as a place to refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        self.places |= {values.get("id", "")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif "src" in values or tag == "link":
            self.loaded.append(values.get("src") or values.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the site, built once, its notebook executed."""
    if not os.environ.get("CHINSPECT_SITE"):
        pytest.skip("the site is built and tested with CHINSPECT_SITE=1")
    for module in ("sphinx", "furo", "myst_nb"):
        pytest.importorskip(module, reason="the extra 'docs' is not installed")
    out = tmp_path_factory.mktemp("site")
    # nothing outside of this machine can be reached by a proxy that is not there
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment() | offline, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    return out


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, References]:
    return {path: References(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_links_lead_somewhere(site, pages):
    dead = []
    for page, references in pages.items():
        for link in references.links:
            address = urlsplit(link)
            if address.scheme or not link or link == "#":
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            target = target / "index.html" if target.is_dir() else target
            there = target.is_file() and (
                not address.fragment or target not in pages or unquote(address.fragment) in pages[target].places
            )
            if not there:
                dead.append((str(page.relative_to(site)), link))
    assert not dead


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert not [link for references in pages.values() for link in references.loaded if urlsplit(link).netloc]
    styles = "\n".join(path.read_text(encoding="utf-8") for path in (site / "_static").rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles)


def test_no_page_names_a_place_on_this_machine(site):
    texts = {path: path.read_text(encoding="utf-8") for path in [*site.rglob("*.html"), *DOCS.rglob("*.md")]}
    places = [str(ROOT), str(Path.home()) + "/", sys.prefix]
    assert not [(path, place) for path, text in texts.items() for place in places if place in text]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_described(room, site):
    page = site / "api" / f"{room.removeprefix('chinspect.')}.html"
    places = References(page.read_text(encoding="utf-8")).places
    assert {f"{room}.{public}" for public in importlib.import_module(room).__all__} <= places


def test_each_page_is_reached(site):
    words = (DOCS / "index.md").read_text(encoding="utf-8") + (DOCS / "papers" / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent.name != "api" and page != DOCS / "index.md":
            assert page.stem in words, name(page)


def test_the_notebook_keeps_no_outputs():
    cells = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


def test_files_that_pages_name_are_there():
    named = {
        (name(page), path)
        for page in PAGES
        for path in re.findall(r"\b(?:experiments|tests|assets)/[\w./-]*\w", page.read_text(encoding="utf-8"))
        if not path.startswith("assets/audit-workflow")
    }
    assert not [(page, path) for page, path in named if not (ROOT / path).exists()]


def test_the_citation_says_what_is_required():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == chinspect.__version__
    assert citation["authors"] == [{"name": "chinspect contributors"}]
    for work in citation["references"]:
        assert {"type", "title", "authors"} <= work.keys()
