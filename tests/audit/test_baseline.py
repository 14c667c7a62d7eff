import json

import pytest
from _by_hand import HOSTILE, audit, finding

from chinspect.audit import changes_since
from chinspect.errors import InputError


@pytest.fixture
def baseline(tmp_path):
    def save(*findings, **values):
        audit(*findings, **values).save(tmp_path)
        return tmp_path

    return save


def test_new_gone_and_changed_findings(baseline):
    folder = baseline(finding("stress", key="gone"), finding("clear", key="turned"), finding("clear", key="same"))
    changes = changes_since(
        audit(finding("confirmed", key="new"), finding("stress", key="turned"), finding("clear", key="same")), folder
    )
    assert [one.key for one in changes.new] == ["new"]
    assert [one.key for one in changes.gone] == ["gone"]
    assert [(one.key, one.before, one.after, one.is_worse) for one in changes.changed] == [
        ("turned", "clear", "stress", True)
    ]
    assert changes.notes == []
    assert changes.document()["changes"][0]["change"] == "new"


@pytest.mark.parametrize(("low", "changed"), [(0.25, 0), (0.35, 1)])
def test_an_estimate_has_changed_where_intervals_are_apart(baseline, low, changed):
    folder = baseline(finding("stress", numbers={"estimate": 0.2, "low": 0.1, "high": 0.3}))
    now = audit(finding("stress", numbers={"estimate": 0.4, "low": low, "high": 0.5}))
    differences = changes_since(now, folder).changed
    assert len(differences) == changed
    assert all((one.estimate_before, one.estimate_after) == (0.2, 0.4) for one in differences)


def test_the_gravest_of_findings_with_one_key_counts(baseline):
    folder = baseline(finding("stress", key="a"), finding("clear", key="a"))
    assert not changes_since(audit(finding("stress", key="a")), folder).changed


def test_another_model_other_images_and_steps_left_out_are_told(baseline):
    folder = baseline(finding(), made={"model": "other", "images": "i"}, states=("done", "left out"))
    notes = changes_since(audit(finding(), made={"model": "m"}), folder).notes
    assert notes == [
        "The two runs differ in their model.",
        "Only one of the two runs tells its images.",
        "The baseline did not do step 1.",
    ]


def test_another_kind_of_subject_is_refused(baseline):
    folder = baseline(finding(), subject="encoder")
    with pytest.raises(InputError, match=r"is an audit of an encoder, and this is one of a detector"):
        changes_since(audit(finding()), folder)


def test_folders_that_are_no_audit_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no audit\.json"):
        changes_since(audit(), tmp_path)
    with pytest.raises(InputError, match=r"has no audit\.json"):
        changes_since(audit(), tmp_path / "nowhere")
    good = {"kind": "audit", "subject": "detector", "findings": []}
    for broken in (
        {"kind": "spray"},
        good | {"findings": None},
        good | {"findings": [3]},
        good | {"findings": [{"key": "a", "title": "a", "numbers": {}, "status": "harmless"}]},
        good | {"subject": 3},
    ):
        (tmp_path / "audit.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"holds something else"):
            changes_since(audit(), tmp_path)
    for text in ("{", "[]", "\x80\x04."):
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(InputError, match=r"cannot be read"):
            changes_since(audit(), tmp_path)


def test_hostile_keys_are_compared_as_they_are(baseline):
    keys = [text for text in HOSTILE if text.isascii()]
    folder = baseline(*(finding("stress", key=key) for key in keys))
    changes = changes_since(audit(*(finding("stress", key=key) for key in keys)), folder)
    assert [changes.new, changes.gone, changes.changed] == [[], [], []]
