"""Checks are pure: every case is data, in cases/*.yaml, with every boundary of the guide's table and every gap."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import checks
from runbook.config.load import load_settings
from runbook.model import rows
from runbook.model.facts import Fact, Gap
from runbook.model.findings import Findings, Verdict
from runbook.model.moment import Moment
from tests.layout import offered
from tests.runbook.rows import AT, row

FOLDER = Path(__file__).parents[1] / "cases"
CASES = {
    check: cases
    for file in ("checks", "gates")
    for check, cases in yaml.safe_load((FOLDER / f"{file}.yaml").read_text()).items()
    if check != "shared"
}
SYSTEM = load_settings("sandbox")
REHEARSED = ("safe_to_deploy", "safe_to_rotate", "safe_to_alter")  # their last fact is the trial in staging


def fact(given: Any, kind: str) -> Fact:
    """A fact; `kind` is an annotation such as "Fact[EtlRun]"."""
    given = {"rows": given} if isinstance(given, list) else given
    made = getattr(rows, re.search(r"(\w+)\]", kind)[1])  # type: ignore[index]
    found = given["rows"] if "rows" in given else [{"function": "f", "text": "x"}] * given.get("repeat", 0)
    gaps = tuple(Gap(*pair) for pair in given.get("gaps", []))
    return Fact(
        given.get("name", "fact"),
        tuple(row(made, **({"ours": True} if made is rows.LogEntry else {}) | values) for values in found),
        "line",
        AT,
        "",
        gaps,
        given.get("more", False),
        frozenset(given.get("only", [])),
        tuple(given.get("absent", [])),
        given.get("function", ""),
    )


def judged(check: str, case: dict[str, Any]) -> Findings:
    """What a check finds in a case."""
    system = SYSTEM.model_copy(update={"staging": case.get("staging", "")})
    asked = [*facts(case), *([case.get("rehearsal", [])] if check in REHEARSED else [])]
    kinds = [str(p.annotation) for p in inspect.signature(getattr(checks, check)).parameters.values()]
    given = [fact(one, kind) for one, kind in zip(asked, kinds, strict=False)]
    return getattr(checks, check)(*given, system, Moment(case.get("at", AT), SYSTEM.zone), **case.get("asked", {}))


def facts(case: dict[str, Any]) -> list[Any]:
    """What a case gives for each fact."""
    if "functions" in case:
        states = {f.name: "ACTIVE" for f in SYSTEM.functions} | case["functions"]
        listed = [{"name": n, "region": "us-central1", "state": s} for n, s in states.items() if s != "absent"]
        return [{"rows": listed, "gaps": case.get("gaps", [])}]
    if "access" in case:
        roles = SYSTEM.roles.required.items()
        return [[{"role": r, "permission": p, "held": p not in case["access"]} for r, ps in roles for p in ps]]
    return case["facts"]


@pytest.mark.parametrize(
    ("check", "case"), [pytest.param(k, c, id=f"{k}: {c['name']}") for k in CASES for c in CASES[k]]
)
def test_check(check: str, case: dict[str, Any]) -> None:
    found = judged(check, case)
    assert [[f.verdict.name, f.subject, f.value] for f in found] == case["expect"]
    assert "next" not in case or [f.next for f in found] == case["next"]


def test_every_check_has_cases() -> None:
    assert set(CASES) == set(offered(checks)), (
        "Each check that runbook/checks/__init__.py exports needs cases under its name in tests/runbook/cases/checks.yaml, "
        "a gate in gates.yaml"
    )


def test_each_gate_passes_once_and_is_stopped_by_what_it_cannot_see() -> None:
    for gate in (name for name in offered(checks) if name.startswith("safe_to_")):
        worst = [max(Verdict[row[0]] for row in case["expect"]) for case in CASES[gate]]
        assert min(worst) is Verdict.ok, gate
        assert Verdict.unknown in worst, gate


GATES = [k for k in CASES if k.startswith(("safe_to_", "after_"))]


@pytest.mark.parametrize("gate", GATES)
def test_what_stops_says_what_to_do(gate: str) -> None:
    for case in CASES[gate]:
        for finding in judged(gate, case):
            assert finding.limit
            assert finding.next or finding.verdict is not Verdict.alert, finding
