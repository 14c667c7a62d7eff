"""An audit as JUnit XML, which CI systems show test by test.

A finding is a test case. It fails where its status is at least as grave as the gate's, in the order

    confirmed > stress > candidate,

so a gate at ``stress`` lets candidates pass, on which nothing has been tried yet, and one at ``candidate`` fails at
everything that somebody should look at. ``undecided``, ``not_causal`` and ``clear`` never fail. What is ``untested`` is
skipped, with its reason. An audit in which nothing at all was looked at is an error: a gate that saw nothing does not
pass.

The document is valid against the schema of Ant's JUnit reports (``JUnit.xsd``), the strictest of those in use: each
suite has its properties, its test cases, then its output, and a test case is failed, skipped, an error, or none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from chinspect.audit.finding import GRAVE, AuditFinding, Status
from chinspect.audit.result import Audit
from chinspect.errors import InputError, did_you_mean
from chinspect.report import cell, json_text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as an entity: control characters, surrogates, and two code points without one."""


def junit_xml(audit: Audit, fail_on: Status | None) -> str:
    """The findings as test cases; none fails where ``fail_on`` is None.

    What XML cannot hold, such as control characters in names of files, is written as ``\\x1b``.

    Raises `InputError` for a ``fail_on`` other than confirmed, stress or candidate.
    """
    check_gate(fail_on)
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", _suite_attributes(audit, fail_on))
    properties = ElementTree.SubElement(suite, "properties")
    told = {"verdict": audit.verdict, "level": str(audit.level), "fail_on": fail_on or "nothing"}
    for name, value in told.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for finding in audit.findings:
        _add_case(suite, audit.subject, finding, fail_on)
    if audit.verdict == "untested":
        case = ElementTree.SubElement(suite, "testcase", name="audit", classname=_class(audit.subject), time="0")
        ElementTree.SubElement(case, "error", message="nothing was looked at", type="untested").text = ""
    lines = [f"{finding.status}: {finding.sentence}" for finding in audit.findings]
    ElementTree.SubElement(suite, "system-out").text = _xml_text("\n".join([audit.sentence, *lines]))
    ElementTree.SubElement(suite, "system-err").text = ""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join([_DECLARATION, "\n"])


def failing(audit: Audit, fail_on: Status | None) -> list[AuditFinding]:
    """The findings that fail a gate; none where there is no gate."""
    check_gate(fail_on)
    return [finding for finding in audit.findings if _fails(finding.status, fail_on)]


def check_gate(fail_on: str | None) -> None:
    """`InputError` for what is no gate."""
    if fail_on is not None and fail_on not in GRAVE:
        raise InputError(
            f"A gate fails on {', '.join(GRAVE[:-1])} or {GRAVE[-1]}, not on {fail_on!r}{did_you_mean(fail_on, GRAVE)}."
        )


_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def _fails(status: Status, fail_on: Status | None) -> bool:
    """Whether a status is at least as grave as the gate's."""
    return fail_on is not None and status in GRAVE[: GRAVE.index(fail_on) + 1]


def _suite_attributes(audit: Audit, fail_on: Status | None) -> dict[str, str]:
    """Counts and names; the host is not named, so that a public log does not tell it."""
    nothing = audit.verdict == "untested"
    seconds = audit.steps["seconds"].sum() if "seconds" in audit.steps else 0.0
    return {
        "name": _token(audit.title) or "audit",
        "package": "chinspect",
        "id": "0",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": "localhost",
        "tests": str(len(audit.findings) + nothing),
        "failures": str(len(failing(audit, fail_on))),
        "errors": str(int(nothing)),
        "skipped": str(sum(finding.status == "untested" for finding in audit.findings)),
        "time": f"{seconds:.3f}",
    }


def _add_case(suite: ElementTree.Element, subject: str, finding: AuditFinding, fail_on: Status | None) -> None:
    """A finding as a test case."""
    attributes = {"name": _token(finding.key), "classname": _class(subject), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    sentence = _xml_text(finding.sentence)
    if finding.status == "untested":
        ElementTree.SubElement(case, "skipped", message=sentence)
    elif _fails(finding.status, fail_on):
        failure = ElementTree.SubElement(case, "failure", message=sentence, type=finding.status)
        failure.text = _xml_text(_detail(finding))


def _detail(finding: AuditFinding) -> str:
    """What a reader of a log needs: the title, the sentence, the numbers, the images, what to do."""
    numbers = [f"{name} = {_number(value)}" for name, value in finding.numbers.items()]
    members = [f"found in {', '.join(finding.members)}"] if finding.members else []
    return "\n".join(["", finding.title, finding.sentence, *numbers, *members, finding.advice, ""])


def _number(value: Any) -> str:
    """A JSON value on one line."""
    return json_text(value).replace("\n", " ") if isinstance(value, Mapping | list | tuple) else cell(value)


def _class(subject: str) -> str:
    """What CI systems group test cases by."""
    return f"chinspect.audit.{_token(subject)}"


def _token(text: str) -> str:
    """Text as an XML token: one line, without spaces at its ends."""
    return " ".join(_xml_text(text).split())


def _xml_text(text: str) -> str:
    """Text that XML 1.0 can hold."""
    return _NOT_XML.sub(lambda match: ascii(match[0])[1:-1], text)
