import re

import pytest
from _by_hand import HOSTILE, STATUSES, audit, finding

from chinspect.audit import changes_since, summary_markdown
from chinspect.audit.summary import escaped

LIVE = re.compile(r"(?<!\\)[`*_\[\]<>|~$&]|@(?!\u2060)|://|www\.|:\w+:")
"""What would not be plain text on GitHub."""


def test_the_verdict_comes_first_and_the_gravest_finding_with_it():
    text = summary_markdown(audit(*(finding(status) for status in STATUSES)))
    lines = text.splitlines()
    assert lines[0] == "## ❌ d2neighbors on tiles: confirmed"
    rows = [line for line in lines if line.startswith("| ")]
    assert [row.split("|")[1].split()[-1] for row in rows[1:4]] == ["confirmed", "stress", "candidate"]
    assert "It is confirmed." in rows[1]
    assert "5%" in lines[-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text, tmp_path):
    shown = escaped(text)
    assert not LIVE.search(shown)
    assert "\n" not in shown
    assert shown.isprintable() or "\u2060" in shown
    hostile = audit(finding("stress", key=text, title=text, sentence=text, advice=text))
    audit(finding()).save(tmp_path)
    for line in summary_markdown(hostile, changes_since(hostile, tmp_path)).splitlines():
        assert len(re.findall(r"(?<!\\)\|", line)) in (0, 5)
        assert "<img" not in line.replace("\\<", "")


@pytest.mark.parametrize("text", ["- item", "+ item", "1. item", "2) item", "# title", "=== title", "> quote"])
def test_the_beginning_of_a_line_starts_nothing(text):
    assert re.match(r"\\|\d\\", escaped(text))


def test_long_tables_and_sentences_are_cut_and_say_so():
    many = audit(*(finding("candidate", key=str(i), sentence="word " * 200) for i in range(30)))
    text = summary_markdown(many)
    assert "and 10 more, none of them graver." in text
    assert max(map(len, text.splitlines()[4:])) < 600


def test_what_became_worse_stands_first(tmp_path):
    audit(finding("clear", key="a"), finding("stress", key="b")).save(tmp_path)
    now = audit(finding("stress", key="a"), finding("clear", key="c"))
    text = summary_markdown(now, changes_since(now, tmp_path))
    told = [line for line in text.splitlines() if line.startswith("* ")]
    assert told[0] == "* **worse**, changed: A stress finding (was clear, is stress)"
    assert told[1:] == ["* new: A clear finding (clear)", "* gone: A stress finding (stress)"]


def test_nothing_changed_is_said(tmp_path):
    same = audit(finding("clear"))
    same.save(tmp_path)
    assert "Nothing new, nothing gone, nothing changed." in summary_markdown(same, changes_since(same, tmp_path))
