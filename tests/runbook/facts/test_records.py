"""What the record store knows: a trial in staging, from its record to the gate and into what is signed."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml

import gcp_sandbox
from gcp_sandbox.checkout import sample
from runbook.config.load import ROOT, load_settings
from runbook.facts.checkout import source_code
from tests.runbook.changes import Place, Result

GATE = "applied in staging"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, Place]:
    """Two environments, both rehearsed here: `live`, and `staging`, in which its changes are tried first."""
    system = yaml.safe_load((ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8"))
    for name, more in (("live", {"staging": "staging"}), ("staging", {})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(system | more))
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    monkeypatch.setenv("MOCK_MODE", "1")
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")
    live, staging = (gcp_sandbox.app(load_settings(name).inventory()) for name in ("live", "staging"))
    return Place(tmp_path / "records", app=live), Place(tmp_path / "records", app=staging)


def gate(result: Result) -> list[tuple[str, str]]:
    return [(f.verdict.name, f.value) for f in result.names["gates"] if f.check == GATE]


@pytest.mark.parametrize(
    ("name", "given"), [("deploy", {"memory": "1Gi"}), ("rotate_secret", {}), ("schema_change", {})]
)
def test_what_was_not_tried_in_staging_is_not_applied(
    places: tuple[Place, Place], name: str, given: dict[str, str]
) -> None:
    live, staging = places
    first = live.plan(name, environment="live", **given)
    assert gate(first) == [("alert", "not yet")]
    assert first.names["plan"].relies_on[GATE] == "not in staging"
    live.approve(first.id)
    refused = live.go(name, first.id, environment="live", **given)
    assert refused.outcome.result == "refused"
    assert "applied in staging, staging: not yet" in refused.outcome.said

    planned = staging.plan(name, environment="staging", reason="a trial", **given)  # planned is not applied
    assert gate(planned) == []
    assert planned.names["plan"].relies_on[GATE] == "no staging environment"
    assert gate(live.run(name, environment="live", **given)) == [("alert", "not yet")]
    staging.approve(planned.id)
    tried = staging.go(name, planned.id, environment="staging", reason="a trial", **given)
    assert tried.outcome.result == "applied", tried.outcome.said
    assert gate(live.run(name, environment="live", **given)) == [("unknown", ANY)]  # it has no record yet
    staging.record(tried)

    again = live.plan(name, environment="live", **given)
    [(verdict, value)] = gate(again)
    assert (verdict, value.split(",")[0]) == ("ok", tried.folder.name)
    assert again.names["plan"].relies_on[GATE] == tried.folder.name
    assert gate(live.run(name, environment="live", **given | other(name))) == [("alert", "not yet")]


def other(name: str) -> dict[str, str]:
    """A parameter that makes it another change."""
    return {"deploy": {"memory": "2Gi"}, "rotate_secret": {"secret": "hubspot-api-key"}}.get(name, {"column": "other"})


def test_only_the_very_code_counts(places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    live, staging = places
    monkeypatch.setattr(source_code, "run_tests", lambda *_: (True, "3 passed"))
    monkeypatch.setattr(source_code, "leaks", lambda *_: [])
    code = {"source": str(sample())}
    first = staging.plan("deploy", environment="staging", **code)
    staging.approve(first.id)
    tried = staging.go("deploy", first.id, environment="staging", **code)
    assert tried.outcome.result == "applied"
    staging.record(tried)
    assert [verdict for verdict, _ in gate(live.run("deploy", environment="live", **code))] == ["ok"]
    found = source_code.inspect_source(sample())
    monkeypatch.setattr(source_code, "inspect_source", lambda _: found.__class__(**{**vars(found), "digest": "f" * 40}))
    assert gate(live.run("deploy", environment="live", **code)) == [("alert", "not yet")]


def test_a_changed_record_is_no_evidence(places: tuple[Place, Place]) -> None:
    live, staging = places
    given = {"memory": "1Gi"}
    first = staging.plan("deploy", environment="staging", **given)
    staging.approve(first.id)
    tried = staging.go("deploy", first.id, environment="staging", **given)
    staging.record(tried)
    assert [verdict for verdict, _ in gate(live.run("deploy", environment="live", **given))] == ["ok"]
    report = tried.folder / "report.json"
    report.write_bytes(report.read_bytes() + b" ")
    result = live.run("deploy", environment="live", **given)
    assert [verdict for verdict, _ in gate(result)] == ["unknown"]
    [gap] = [gap for fact in result.names["run"].facts for gap in fact.gaps]
    assert gap.why == "it does not verify: report.json was changed"
    assert gap.next == f"runbook records verify {tried.folder.name}"


@pytest.mark.usefixtures("places")
def test_an_environment_is_not_its_own_staging() -> None:
    path = Path(os.environ["RUNBOOK_PARAMS"]) / "live.yaml"
    path.write_text(path.read_text().replace("staging: staging", "staging: live"))
    with pytest.raises(Exception, match="own staging environment"):
        load_settings("live")
