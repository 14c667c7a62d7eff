"""Audits made by hand, and strings that mean harm."""

import pandas as pd

from chinspect.audit import Audit, AuditFinding

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "a|b|c",
    "](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "`code` *bold* __bold__ ~~gone~~ $x$ &lt;",
    "@everyone #1 https://evil.example www.evil.example :tada:",
    "name\x00\x1b[31m\x07.png",
    "two\nlines\r\n# heading",
    "\u202egnp.exe",
    "surrogate \ud800 and \ufffe",
    "]]>",
    "\"quoted\" & 'quoted'",
    "n" * 300,
)
STATUSES = ("confirmed", "stress", "candidate", "undecided", "not_causal", "untested", "clear")


def finding(status="clear", key=None, **values):
    """A finding of a status, with words of its own."""
    words = {"title": f"A {status} finding", "sentence": f"It is {status}.", "advice": ""}
    return AuditFinding(key=key or f"key/{status}", status=status, **(words | values))


def audit(*findings, subject="detector", made=None, states=("done",)):
    """An audit that has these findings."""
    steps = [
        {"step": f"step {i}", "state": state, "images": 3, "seconds": 0.25, "note": ""}
        for i, state in enumerate(states)
    ]
    made = {"model": "m", "images": "i"} if made is None else made
    return Audit("d2neighbors on tiles", subject, findings, pd.DataFrame(steps), 0.05, made=made)
