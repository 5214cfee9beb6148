"""Checks are pure: every case is data, in cases/checks.yaml, with every boundary of the guide's table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook import checks, settings
from runbook.moment import Moment
from runbook.rows import Fact, Gap

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "checks.yaml").read_text())
SYSTEM = settings.load("sandbox")
AT = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)


def fact(given: Any) -> Fact:
    given = {"rows": given} if isinstance(given, list) else given
    rows = given["rows"] if "rows" in given else [{"at": AT, "function": "f", "text": "x"}] * given["repeat"]
    gaps = tuple(Gap(*pair) for pair in given.get("gaps", []))
    return Fact("fact", tuple(rows), "line", AT, "", gaps, given.get("more", False), tuple(given.get("absent", [])))


def facts(case: dict[str, Any]) -> list[Fact]:
    if "functions" in case:
        states = {f.name: "ACTIVE" for f in SYSTEM.functions} | case["functions"]
        rows = [{"name": n, "region": "us-central1", "state": s, "message": ""} for n, s in states.items()]
        return [fact({"rows": [r for r in rows if r["state"] != "absent"], "gaps": case.get("gaps", [])})]
    if "access" in case:
        roles = SYSTEM.roles.required.items()
        return [fact([{"role": r, "permission": p, "held": p not in case["access"]} for r, ps in roles for p in ps])]
    return [fact(given) for given in case["facts"]]


@pytest.mark.parametrize(
    ("check", "case"), [pytest.param(k, c, id=f"{k}: {c['name']}") for k in CASES for c in CASES[k]]
)
def test_check(check: str, case: dict[str, Any]) -> None:
    moment = Moment(case.get("at", AT), SYSTEM.zone)
    found = getattr(checks, check)(*facts(case), SYSTEM, moment)
    assert [[f.verdict.name, f.subject, f.value] for f in found] == case["expect"]


def test_every_check_has_cases() -> None:
    assert set(CASES) == set(checks.__all__)
