import re

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from chinspect.report import Page, Paragraph, Section, Table, page_markdown
from chinspect.report.markdown import escaped
from tests.report.pages import HOSTILE, example_page


def tokens(text):
    """All tokens of a document, as a reader without mercy for HTML parses it."""
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        yield token
        yield from token.children or ()


@pytest.fixture(scope="module")
def text():
    return page_markdown(example_page())


def test_names_from_strangers_make_no_tag_and_no_link(text):
    kinds = {token.type for token in tokens(text)}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "code_inline", "fence", "code_block"}
    assert "table_open" in kinds
    for address in ("www.evil", "https://evil", "@you"):  # GitHub makes links of these where they are bare
        assert address not in text
    text.encode("utf-8")


def test_names_read_as_they_are(text):
    shown = "".join(token.content for token in tokens(text) if token.type == "text").replace("\u2060", "")
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[5], HOSTILE[6], HOSTILE[8]):
        assert name in shown


def test_a_table_has_all_rows_and_each_all_cells(text):
    table = [token for token in tokens(text) if token.type == "th_open"]
    assert table
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(re.fullmatch(r"\|( [^|]* \|)+", line) for line in lines)
    for name in HOSTILE:
        assert any(line.startswith(f"| {escaped(name)} |") for line in lines)


@pytest.mark.parametrize(
    "text", ["- a", "+ a", "1. a", "12) a", "---", "===", "# a", "> a", "* a", "    code", "a\n# b"]
)
def test_no_text_begins_a_block(text):
    document = page_markdown(Page(text, text, "plain", text, [Section(text, [Paragraph(text)], note=text)]))
    kinds = [token.type for token in tokens(document)]
    assert kinds.count("heading_open") == 2
    assert kinds.count("bullet_list_open") == 1
    assert not {"ordered_list_open", "hr", "blockquote_open", "code_block"} & set(kinds)


def test_numbers_stay_numbers():
    assert escaped("0.05") == "0.05"
    assert escaped("-0.05") == "-0.05"


def test_long_tables_say_what_is_left_out():
    table = Table(pd.DataFrame({"value": np.arange(300)}), "Many")
    text = page_markdown(Page("title", "x", "plain", "", [Section("One", [table])]))
    assert "100 more rows are left out here." in text
