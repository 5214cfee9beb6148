"""A params file is usable as a whole or refused as a whole, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runbook.config.load import ROOT, load_settings
from runbook.config.schema import Settings
from runbook.config.signatures import Signature
from runbook.model.errors import BadSettings, Exit, UnknownName

GOOD = (ROOT / "params" / "sandbox.yaml").read_text()


def load(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Settings:
    (folder / "mine.yaml").write_text(text)
    monkeypatch.setenv("RUNBOOK_PARAMS", str(folder))
    return load_settings("mine")


def test_the_sandbox_is_usable() -> None:
    system = load_settings("sandbox")
    assert len(system.functions) == 13
    assert system.cost_cap == 2**30
    assert system.table("etl_runs") == "acme-sales-sandbox.sales_intelligence.etl_runs"


BAD = [
    (
        "cost_cap_gib: 1",
        "cost_cap_gb: 1",
        ["cost_cap_gb: unknown key. Did you mean cost_cap_gib?", "cost_cap_gib: Field"],
    ),
    ("limit_hours: 6", "limit_hour: 6", ["tables.freshness.0.limit_hour: unknown key. Did you mean limit_hours?"]),
    ("{ok_from: 5,", "{ok_form: 5,", ["thresholds.etl_runs.ok_form: unknown key. Did you mean ok_from?"]),
    (
        "{name: gmail-sync, so",
        "{name: gmail-sync, shedule: x, so",
        ["functions.0.shedule: unknown key. Did you mean schedule?"],
    ),
    ("cost_cap_gib: 1", 'cost_cap_gib: "1"', ["cost_cap_gib: Input should be a valid number", "'1'"]),
    ("cost_cap_gib: 1", "cost_cap_gib: 0", ["cost_cap_gib: Input should be greater than 0"]),
    ("ok_below: 5", "ok_below: -1", ["thresholds.errors.ok_below"]),
    ("ok_from: 5", "ok_from: 0", ["etl_runs: alert_at must be below ok_from"]),
    ("ok_below: 5", "ok_below: 30", ["errors: ok_below must not be above alert_above"]),
    ("project: acme-sales-sandbox", 'project: "x`; DROP TABLE y; --"', ["project: String should match"]),
    ("main: sales_intelligence", "main: sales-intelligence", ["datasets.main: String should match"]),
    ("status: status ", 'status: "status) OR (1=1" ', ["tables.etl_runs.status: String should match"]),
    ("time_zone: America/Chicago", "time_zone: Chicago", ["time_zone: is not an IANA time zone"]),
    ("time_zone: America/Chicago", "time_zone: ../etc/passwd", ["time_zone: is not an IANA time zone"]),
    ('"5 * * * *"', '"5 * * *"', ["functions.0.schedule: is not a valid cron schedule"]),
    ("name: calendar-sync", "name: gmail-sync", ["functions: duplicate names: gmail-sync"]),
    ("window: weekend", "window: wekend", ["operations.add_column.window: wekend is not under windows"]),
    ("signers: [manager],", "signers: [boss],", ["operations.add_column.signers: not under contacts: boss"]),
    ("ask: security ", "ask: nobody ", ["roles.ask: nobody is not under contacts"]),
    ("days: [sat, sun]", "days: [saturday]", ["windows.weekend.days.0"]),
    ("records: records", "records: s3://b/x", ["records: is neither the path of a directory nor gs://", "'s3://b/x'"]),
    ("records: records", "records: gs://B/x", ["records: is neither", "'gs://B/x'"]),
    ("records: records", "records: gs://bucket/../x", ["records: is neither", "'gs://bucket/../x'"]),
    ("region: us-central1", "region: <your region>", ["still has placeholders", "region: <your region>"]),
    ("project: acme", "project: [", ["is not valid YAML"]),
    ("functions: ", "functions: []\nx: ", ["functions: List should have at least 1 item"]),
    ("cost_cap_gib: 1", "cost_cap_gib: 1\nread_as: someone@acme.example", ["read_as: String should match"]),
    ('who: "Manager"', "who: Manager, phone: call me", ["contacts.manager.phone: String should match"]),
    ('who: "Manager"', 'who: Manager, channel: "a\\tb"', ["contacts.manager.channel: String should match"]),
    ('who: "Manager"', "who: Manager, link: http://x.example", ["contacts.manager.link: String should match"]),
    ('who: "Manager"', 'who: Manager, link: "https://x.example/<b>"', ["contacts.manager.link: String should match"]),
    ("cost_cap_gib: 1", "cost_cap_gib: 1\nweb_app: {name: app, url: http://x}", ["web_app.url: String should match"]),
    (
        "cost_cap_gib: 1",
        "cost_cap_gib: 1\nweb_app: {name: app, reads: [a-b]}",
        ["web_app.reads.0: String should match"],
    ),
    ("cost_cap_gib: 1", "cost_cap_gib: 1\nweb_app: {name: app, reads: [nope]}", ["web_app: not a table of", "nope"]),
    ("cost_cap_gib: 1", "cost_cap_gib: 1\nweb_app: {name: google}", ["web_app: not a table of", "google"]),
    ("{name: gmail-sync, so", '{name: "gmail sync", so', ["functions.0.name: String should match"]),
    (
        "{name: gmail-sync, so",
        "{name: Gmail_Sync, service: Gmail_Sync, so",
        ["functions.0.service: String should match"],
    ),
    (
        "project: acme-sales-sandbox",
        "project: acme-sales-sandbox\nproject_id: x",
        ["project_id: unknown key. Did you mean project?"],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD, ids=[new.splitlines()[-1] for _, new, _ in BAD])
def test_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(BadSettings) as refusal:
        load(monkeypatch, tmp_path, GOOD.replace(old, new))
    for text in ["mine.yaml", *expected]:
        assert text in str(refusal.value)
    assert refusal.value.exit is Exit.BAD_INPUT


@pytest.mark.parametrize("text", ["", "- a list", "just words"])
def test_not_a_mapping(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSettings, match="not a YAML mapping"):
        load(monkeypatch, tmp_path, text)


def test_not_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    with pytest.raises(BadSettings, match="not valid YAML"):
        load_settings("mine")


def test_a_missing_environment_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"did you mean sandbox\?"):
        load_settings("sandbx")


def test_every_placeholder_of_production_is_named() -> None:
    text = (ROOT / "params" / "production.yaml").read_text()
    with pytest.raises(BadSettings) as refusal:
        load_settings("production")
    named = [line for line in str(refusal.value).splitlines() if ": <" in line]
    assert len(named) == text.count("<") - text.count("# Fill") - text.count("every <placeholder>")
    assert any(line.strip().startswith("project: <") for line in named)
    assert any(line.strip().startswith("contacts.manager.who: <") for line in named)


def test_production_filled_in_is_usable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "params" / "production.yaml").read_text()
    for placeholder, value in {
        "<your project id>": "acme-sales",
        "<the team's time zone, such as America/Chicago>": "Europe/Zurich",
        "<cron of gmail-sync>": "5 * * * *",
        "<the other twelve, one a line>": "calendar-sync",
        "<as etl_runs writes it>": "calendar",
        "<cron>": "5 * * * *",
    }.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    system = load(
        monkeypatch, tmp_path, text.replace('"<', '"').replace(" <https", " https").replace("status>", "status")
    )
    assert system.inventory()["columns_of_runs"] == {c: c for c in ("source_system", "status", "started_at")}


def test_settings_are_read_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W15: who edits params in Jupyter and starts again gets the new thresholds."""
    text = (ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8")
    (tmp_path / "sandbox.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    assert load_settings("sandbox").thresholds.errors.alert_above == 20
    (tmp_path / "sandbox.yaml").write_text(text.replace("alert_above: 20", "alert_above: 30"), encoding="utf-8")
    assert load_settings("sandbox").thresholds.errors.alert_above == 30


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"cause": "billing", "code": "ACME-17"}, ""),
        ({"cause": "quota", "http": "52x", "says": "too (much|many)"}, ""),
        ({"cause": "bad_luck", "code": "ACME-17"}, "none of the causes"),
        ({"cause": "billing"}, "at least one of code"),
        ({"cause": "billing", "says": "("}, "not a regular expression"),
        ({"cause": "billing", "http": "200"}, "http"),
    ],
)
def test_a_team_adds_signatures(row: dict[str, Any], said: str) -> None:
    if not said:
        assert Signature.model_validate(row).cause == row["cause"]
        return
    with pytest.raises(ValidationError, match=said):
        Signature.model_validate(row)


def extends(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Settings:
    """The settings of `mine`, from params files by name; `__` stands for a directory."""
    for name, text in files.items():
        (path := folder / f"{name.replace('__', '/')}.yaml").parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("RUNBOOK_PARAMS", str(folder))
    return load_settings("mine")


def test_params_may_extend_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "extends: base/team.yaml\nproject: acme-other\nthresholds: {scores: {warn_days: 2}}\nalert_contacts: [on-call]\n"
    found = extends(tmp_path, monkeypatch, mine=own, base__team=GOOD)
    base = load_settings.__globals__["_settings"]("x", tmp_path / "x", (GOOD,))
    assert (found.environment, found.project, found.alert_contacts) == ("mine", "acme-other", ["on-call"])
    assert (found.thresholds.scores.warn_days, found.thresholds.errors) == (2, base.thresholds.errors)
    assert found.functions == base.functions
    (tmp_path / "base" / "team.yaml").write_text(GOOD.replace("cost_cap_gib: 1", "cost_cap_gib: 3"))
    assert load_settings("mine").cost_cap_gib == 3  # a change of the base is seen


def test_a_list_of_the_base_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "extends: base/team.yaml\nfunctions: [{name: gmail-sync, source_system: gmail, schedule: '5 * * * *'}]\n"
    assert len(extends(tmp_path, monkeypatch, mine=own, base__team=GOOD).functions) == 1


def test_a_base_may_extend_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    middle = "extends: base/team.yaml\nregion: europe-west1\n"
    found = extends(tmp_path, monkeypatch, mine="extends: middle.yaml\n", middle=middle, base__team=GOOD)
    assert found.region == "europe-west1"


@pytest.mark.parametrize("base", ["nope.yaml", "../outside.yaml", "/etc/hostname", "mine.yaml", "loop.yaml", "[1]"])
def test_a_base_elsewhere_is_refused(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside.yaml").write_text(GOOD)
    with pytest.raises(BadSettings) as error:
        extends(tmp_path / "params", monkeypatch, mine=f"extends: {base}\n", loop="extends: mine.yaml\n")
    assert "is no other file in" in error.value.observed
