"""The files of an audit: for people, for other programs, for CI systems, and beside an earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chinspect.audit.baseline import Changes, changes_since
from chinspect.audit.finding import Status
from chinspect.audit.junit import failing, junit_xml
from chinspect.audit.result import Audit
from chinspect.audit.summary import summary_markdown
from chinspect.files import output_folder, replacing

SUMMARY = "summary.md"


@dataclass(frozen=True, eq=False)
class Written:
    """What was written.

    Attributes:
        files: their paths, the report first.
        changes: since the baseline; None without one.
        failed: whether a finding fails the gate.
    """

    files: list[Path]
    changes: Changes | None
    failed: bool


def write_audit(
    audit: Audit,
    folder: str | Path,
    *,
    baseline: str | Path | None = None,
    junit: str | Path | None = None,
    fail_on: Status | None = None,
) -> Written:
    """Writes an audit with its report, a summary for a pull request, and where asked JUnit XML.

    Args:
        folder: of the run.
        baseline: the folder of an earlier run that it is compared with.
        junit: a file.
        fail_on: the gate, see `failing`.

    Raises `InputError` for a baseline that holds no audit, and for a gate that is not known.
    """
    changes = None if baseline is None else changes_since(audit, baseline)
    target = output_folder(folder)
    texts = {target / SUMMARY: summary_markdown(audit, changes)}
    if junit is not None:
        texts[Path(junit)] = junit_xml(audit, fail_on)
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    files = [*audit.save(target), *texts, *([] if changes is None else changes.save(target))]
    report = target / "report.html"
    return Written([report, *(file for file in files if file != report)], changes, bool(failing(audit, fail_on)))
