"""What no plan could use is refused with the parameters, before anything is asked; the plans' cases have more of it."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.config.load import RUNBOOKS
from runbook.config.parameters import declared_parameters
from runbook.config.request import request
from runbook.config.validation import _PATTERNS, _RANGES, _TIMES, _WORDS
from runbook.model.errors import BadInput, BadParameter, UnknownName

NAMES = {path.stem for path in RUNBOOKS.glob("*.ipynb")}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("daily_check", {"as_of": "yesterday"}, "as_of=yesterday"),
    ("p1_response", {"detected_at": "8 o'clock"}, "detected_at=8 o'clock"),
    ("p1_response", {"incident": "7"}, "incident=7"),
    ("rollback", {"function": "gmail-snyc"}, "did you mean gmail-sync?"),
    ("rollback", {"function": ""}, "use one of: gmail-sync, "),
    ("retry", {"function": "ünïcode"}, "it is not in params/sandbox.yaml"),
    ("rollback", {"revision": "Gmail"}, "revision=Gmail"),
    ("p1_response", {"notify": "on-cal", "incident": "INC-7"}, "did you mean on-call?"),
    ("p1_response", {"notify": "on-call"}, "only for an incident"),
    ("rotate_secret", {"secret": ""}, "secret="),
    ("rotate_secret", {"secret": "a/b"}, "secret=a/b"),
    ("deploy", {"memory": "64Gi"}, "32Gi is the most"),
    ("deploy", {"memory": "1Mi"}, "memory=1Mi"),
    ("deploy", {"runtime": "python99"}, "python313"),
    ("deploy", {"entry_point": ""}, "entry_point="),
    ("backup", {"tables": "a b"}, "tables=a b"),
    ("restore", {"snapshot": "x;y"}, "snapshot=x;y"),
    ("deploy", {"memory": "1TB"}, "memory=1TB"),
    ("deploy", {"timeout_s": "3601"}, "timeout_s=3601"),
    ("backup", {"keep_days": "0"}, "keep_days=0"),
    ("backup", {"date": "20260230"}, "date=20260230"),
    ("restore", {"into": "a-b"}, "into=a-b"),
    ("restore", {"snapshot": ""}, "not from both or neither"),
    ("restore", {"snapshot": "", "table": "sf_accounts", "at": "noon"}, "at=noon"),
    ("schema_change", {"type": "VARCHAR"}, "type=VARCHAR"),
    ("schema_change", {"mode": "REQUIRED"}, "mode=REQUIRED"),
    ("schema_change", {"column": "ümlaut"}, "column=ümlaut"),
    ("scheduler", {"to": "disable"}, "to=disable"),
    ("scheduler", {"jobs": ","}, "jobs=,"),
    ("retire_secret", {"to": "pause"}, "to=pause"),
    ("retire_secret", {"version": "-1"}, "version=-1"),
]


@pytest.mark.parametrize(("runbook", "given", "words"), BAD)
def test_a_value_that_no_plan_could_use(runbook: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as error:
        request(runbook, given)
    assert words in str(error.value)
    assert error.value.next
    assert isinstance(error.value, UnknownName if "function" in given or "on-cal" in given.values() else BadParameter)


@pytest.mark.parametrize("runbook", sorted(NAMES))
def test_the_defaults_of_a_runbook_are_good(runbook: str) -> None:
    assert request(runbook, {}).runbook == runbook


def test_every_form_is_of_a_parameter_that_there_is() -> None:
    declared = {name: set(declared_parameters(RUNBOOKS / f"{name}.ipynb")) for name in NAMES}
    everywhere = set().union(*declared.values())
    assert {*_PATTERNS, *_RANGES, *_TIMES} <= everywhere
    for name in _WORDS:
        runbook, _, parameter = name.rpartition(" ")
        assert parameter in (declared[runbook] if runbook else everywhere)
