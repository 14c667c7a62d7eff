import re
from xml.etree import ElementTree

import pytest
from _by_hand import HOSTILE, STATUSES, audit, finding

from chinspect.audit import failing, junit_xml
from chinspect.errors import InputError

SUITE = {"name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time"}
"""Attributes of a suite in Ant's JUnit.xsd, all but ``skipped`` required."""
ALL = audit(*(finding(status) for status in STATUSES))


def check_schema(text):
    """What Ant's JUnit.xsd asks of a report with one suite; the suite."""
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    (suite,) = root
    assert set(suite.attrib) == SUITE
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
    cases = suite.findall("testcase")
    assert [one.tag for one in suite] == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    for one in suite.find("properties"):
        assert (one.tag, set(one.attrib)) == ("property", {"name", "value"})
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert len(case) <= 1
        for outcome in case:
            assert set(outcome.attrib) == ({"message"} if outcome.tag == "skipped" else {"message", "type"})
            assert outcome.tag in ("skipped", "error", "failure")
        for token in (case.get("name"), case.get("classname")):
            assert token == " ".join(token.split()) != ""
    for tag, attribute in {"failure": "failures", "error": "errors", "skipped": "skipped"}.items():
        assert int(suite.get(attribute)) == len(suite.findall(f"testcase/{tag}"))
    assert int(suite.get("tests")) == len(cases)
    return suite


@pytest.mark.parametrize(("fail_on", "count"), [(None, 0), ("confirmed", 1), ("stress", 2), ("candidate", 3)])
def test_findings_as_grave_as_the_gate_fail(fail_on, count):
    suite = check_schema(junit_xml(ALL, fail_on))
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == [f"key/{status}" for status in STATUSES[:count]]
    assert failed == [one.key for one in failing(ALL, fail_on)]
    assert [case.get("name") for case in suite if case.find("skipped") is not None] == ["key/untested"]
    assert float(suite.get("time")) == 0.25


def test_an_audit_that_looked_at_nothing_is_an_error():
    for nothing in (audit(), audit(finding("untested", sentence="It broke."))):
        suite = check_schema(junit_xml(nothing, "confirmed"))
        assert suite.get("errors") == "1"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text):
    hostile = finding("confirmed", key=text, title=text, sentence=text, advice=text, members=[text])
    suite = check_schema(junit_xml(audit(hostile, finding("untested", sentence=text)), "stress"))
    failure = suite.find("testcase/failure")
    readable = re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", lambda m: ascii(m[0])[1:-1], text)
    assert " ".join(failure.get("message").split()) == " ".join(readable.split())
    assert " ".join(readable.split()) in " ".join(failure.text.split())


def test_numbers_stand_in_the_failure():
    numbers = {"estimate": 0.25, "low": None, "rates": {"a": 1}, "n": 3}
    failure = check_schema(junit_xml(audit(finding("stress", numbers=numbers)), "stress")).find("testcase/failure")
    for line in ("estimate = 0.250", "n = 3", 'rates = { "a": 1 }'):
        assert re.sub(" +", " ", line) in re.sub(" +", " ", failure.text)


def test_a_gate_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"did you mean 'stress'"):
        junit_xml(ALL, "stres")
