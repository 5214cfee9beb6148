"""The draft of params: what the cloud knows is as in params/sandbox.yaml, the rest is a placeholder that is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from google.oauth2.credentials import Credentials

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.serve import serve
from runbook.cli import init as module
from runbook.cli.main import main
from runbook.cloud.client import Cloud
from runbook.config.load import ROOT, load_settings
from runbook.config.schema import Settings
from runbook.facts.base import Answer
from runbook.model.errors import BadSettings, Exit
from tests.runbook.facts.test_recorded_answers import Answering, damaged

SANDBOX = yaml.safe_load((ROOT / "params/sandbox.yaml").read_text(encoding="utf-8"))
HERE = "--project acme-sales-sandbox --region us-central1"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A function `cli(line)`: params and records are in a folder of the test's own, which has the sandbox's params."""
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(SANDBOX))
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("MOCK_MODE", "1")
    return lambda line: CliRunner().invoke(main, line.split())


def filled(path: Path) -> Settings:
    """The settings of a draft in which a person has replaced each placeholder by what params/sandbox.yaml says."""
    with pytest.raises(BadSettings, match="still has placeholders"):
        load_settings(path.stem)
    made = yaml.safe_load(path.read_text())
    told = {row["schedule"]: row["source_system"] for row in SANDBOX["functions"]}
    made["functions"] = [row | {"source_system": told[row["schedule"]]} for row in made["functions"]]
    limits = {row["name"]: row["limit_hours"] for row in SANDBOX["tables"]["freshness"]}
    made["tables"]["freshness"] = [row | {"limit_hours": limits[row["name"]]} for row in made["tables"]["freshness"]]
    made["feeds"], made["contacts"] = SANDBOX["feeds"], SANDBOX["contacts"]
    path.write_text(yaml.safe_dump(made))
    return load_settings(path.stem)


def test_against_the_sandbox_the_draft_is_its_params(cli: Any, tmp_path: Path) -> None:
    done = cli(f"init {HERE}")
    path = tmp_path / "acme-sales-sandbox.yaml"
    assert (done.exit_code, done.output.splitlines()[0]) == (0, f"Draft: {path}, from sandbox"), done.output
    draft, system = filled(path), load_settings("sandbox")
    unknown = {"tables": [], "source_system": "", "repeat": "asks", "after": []}  # no project says this
    expected = {f.name: f.model_copy(update=unknown) for f in system.functions}
    assert {f.name: f.model_copy(update={"source_system": ""}) for f in draft.functions} == expected
    assert sorted(draft.tables.freshness, key=str) == sorted(system.tables.freshness, key=str)
    assert (draft.tables.etl_runs, draft.tables.scores) == (system.tables.etl_runs, system.tables.scores)
    rest = set(Settings.model_fields) - {
        "environment",
        "functions",
        "tables",
        "alert_contacts",
    }  # which a team must choose
    assert [name for name in sorted(rest) if getattr(draft, name) != getattr(system, name)] == []


REAL = {"gmail-sync": ("Gmail_Sync", "", "mail-every-hour"), "embeddings": ("embeddings", "embed-text", "Night_job-1")}
REAL |= {"account-scoring": ("accountScoring", "", ""), "entity-resolution": ("entity_resolution", "", "er")}


def test_of_a_system_with_real_names_it_makes_params_that_work(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox is that of the real names; the draft's own settings never reach it."""
    functions = []
    for row in SANDBOX["functions"]:
        name, service, job = REAL.get(row["name"], (row["name"], "", ""))
        functions.append(row | {"name": name, "service": service, "job": job, "after": []})
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(SANDBOX | {"functions": functions}))
    system = load_settings("sandbox")
    with serve(gcp_sandbox.app(system.inventory(), "healthy")) as served:
        monkeypatch.setenv("RUNBOOK_SANDBOX", served.url)
        assert cli(f"init {HERE} --env live").exit_code == 0
        text = (tmp_path / "live.yaml").read_text()
        draft = filled(tmp_path / "live.yaml")
        done = cli("run daily_check --env live")
    assert (done.exit_code, "OK: all checks passed (19 ok)" in done.output) == (0, True), done.output
    assert "name: Gmail_Sync, source" in text
    made = {f.name: (f.service, f.job) for f in draft.functions}
    assert made["Gmail_Sync"] == ("", "mail-every-hour")
    assert made["embeddings"] == ("embed-text", "Night_job-1")
    assert made["accountScoring"] == ("", "")
    assert {f.name: f.schedule for f in draft.functions} == {f.name: f.schedule for f in system.functions}


def test_on_google_it_needs_no_params_and_only_reads(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's place is taken by the sandbox behind the transport; the requests are those to Google."""
    app = gcp_sandbox.app(load_settings("sandbox").inventory(), "healthy")
    (tmp_path / "sandbox.yaml").unlink()
    seen: list[str] = []

    class Wire(InProcess):
        def send(self, request: Any, **options: Any) -> Any:
            seen.append(f"{request.method} {request.headers['authorization']}")
            return super().send(request, **options)

    monkeypatch.delenv("MOCK_MODE")
    monkeypatch.setattr("google.auth.default", lambda **_: (Credentials("own"), "p"))
    monkeypatch.setattr("runbook.cloud.transports.network", lambda: Wire(app))
    done = cli(f"init {HERE}")
    assert done.exit_code == 0, done.output
    assert set(seen) == {"GET Bearer own"}
    assert "{name: gmail-sync," in (tmp_path / "acme-sales-sandbox.yaml").read_text()


def test_a_project_that_does_not_exist_is_one_clear_message(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"error": {"code": 404, "message": "Not found: Project acme-sales-sandbox"}}
    wire = Answering(lambda _request: (404, error))
    monkeypatch.setattr(module, "connect", lambda system, _world: Cloud(system, "google", wire))
    done = cli(f"init {HERE} --env live")
    assert (done.exit_code, "Next: check --project and --region." in done.output) == (Exit.BROKEN, True), done.output
    assert not (tmp_path / "live.yaml").exists()


BAD = {
    "project": ("--project Acme! --region us-central1", "project 'Acme!' is not valid"),
    "region": ("--project acme-sales --region here,there", "region 'here,there' is not valid"),
    "environment": ("--project acme-sales --region us-central1 --env A/B", "environment 'A/B' is not valid"),
    "existing": ("--project acme-sales --region us-central1 --env sandbox", "exists already"),
    "no directory": ("--project acme-sales --region us-central1 --out {path}/no/x.yaml", "there is no directory"),
    "a name that is too long": ("--project acme-sales --region us-central1 --out " + "a" * 300, "File name too long"),
}


@pytest.mark.parametrize(("line", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_anything_is_read(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    monkeypatch.setattr(module, "connect", None)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = cli(f"init {line.format(path=tmp_path)}")
    assert (done.exit_code, words in done.output, "Next: " in done.output) == (Exit.BAD_INPUT, True, True), done.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("denied", "code", "words"),
    [
        (
            "cloudscheduler.jobs.list",
            Exit.UNKNOWN,
            "<cron, in time_zone; delete this line if no scheduler job calls the function>",
        ),
        ("bigquery.datasets.get", Exit.UNKNOWN, "<the table with one row for each run of a function>"),
        ("bigquery.tables.get", Exit.UNKNOWN, "<the TIMESTAMP column with the start of a run>"),
        ("cloudfunctions.functions.list", Exit.BROKEN, ""),
    ],
)
def test_what_cannot_be_read_is_a_placeholder_and_said(
    cli: Any, tmp_path: Path, denied: str, code: Exit, words: str
) -> None:
    (tmp_path / "world.yaml.txt").write_text(f"about: a test\nnow: 2026-03-11T13:30:00Z\ndeny: [{denied}]\n")
    done = cli(f"init {HERE} --env live --world {tmp_path}/world.yaml.txt")
    assert (done.exit_code, denied in done.output) == (code, True), done.output
    if not words:
        assert not (tmp_path / "live.yaml").exists()
        return
    text = (tmp_path / "live.yaml").read_text()
    assert "# Could not be read: acme-sales-sandbox/" in text
    assert words in text
    with pytest.raises(BadSettings, match="still has placeholders"):
        load_settings("live")


@pytest.mark.parametrize(("away", "code"), [("europe-west1", Exit.UNKNOWN), ("us-central1", Exit.BROKEN)])
def test_a_location_that_does_not_answer_is_said(cli: Any, tmp_path: Path, away: str, code: Exit) -> None:
    (tmp_path / "away.txt").write_text(f"about: a test\nnow: 2026-03-11T13:30:00Z\nunreachable: [{away}]\n")
    done = cli(f"init {HERE} --env live --world {tmp_path}/away.txt")
    assert (done.exit_code, "the location did not answer" in done.output) == (code, True), done.output
    assert (tmp_path / "live.yaml").exists() == (code is Exit.UNKNOWN)


RUN = "projects/p/locations/r/services/run-report"
FUNCTION = {"url": "https://r-p.cloudfunctions.net/Run_Report", "eventTrigger": {"pubsubTopic": "projects/p/topics/t"}}
FUNCTION |= {"name": "projects/p/locations/r/functions/Run_Report"}
FUNCTION |= {"serviceConfig": {"uri": "https://run-report-abc-uc.a.run.app", "service": RUN}}


@pytest.mark.parametrize(
    ("target", "calls"),
    [
        ({"httpTarget": {"uri": "https://r-p.cloudfunctions.net/Run_Report"}}, True),
        ({"httpTarget": {"uri": "https://r-p.cloudfunctions.net/Run_Report/daily?x=1"}}, True),
        ({"httpTarget": {"uri": "https://r-p.cloudfunctions.net/Run_Report_2"}}, False),
        ({"httpTarget": {"uri": "https://run-report-abc-uc.a.run.app/?day=1"}}, True),
        ({"httpTarget": {"uri": "https://run-report-123456789012.us-central1.run.app"}}, True),
        ({"httpTarget": {"uri": "https://run-report-2-123456789012.us-central1.run.app"}}, False),
        ({"httpTarget": {"uri": "https://run-report-abc-uc.a.run.app.example.com/"}}, False),
        ({"pubsubTarget": {"topicName": "projects/p/topics/t"}}, True),
        ({"pubsubTarget": {"topicName": "projects/p/topics/t2"}}, False),
        ({"name": "projects/p/locations/r/jobs/Run_Report"}, False),
    ],
)
def test_a_job_belongs_to_the_function_that_it_calls(target: dict[str, Any], calls: bool) -> None:
    assert module._calls(target, FUNCTION) is calls


def job(name: str, schedule: str, zone: str = "UTC", state: str = "ENABLED") -> dict[str, Any]:
    made = {"name": f"projects/p/locations/r/jobs/{name}", "schedule": schedule, "timeZone": zone, "state": state}
    return made | {"httpTarget": {"uri": FUNCTION["url"]}}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], ["<cron, in time_zone"]),
        ([job("a", "every 24 hours")], ["<cron, in time_zone", "# job a: every 24 hours in UTC"]),
        (
            [job("a", "0 1 * * *", state="PAUSED"), job("b", "0 2 * * *")],
            ["schedule: 0 2 * * *", "job: b", "# job a: 0 1"],
        ),
        ([job("a", "0 1 * * *", "Asia/Tokyo")], ["# job a: 0 1 * * * in Asia/Tokyo"]),
        ([job("a\nb: c", "0 1 * * *", "x")], ["# job a b: c: 0 1 * * * in x"]),
    ],
)
def test_what_params_cannot_hold_is_a_comment(jobs: list[Any], expected: list[str]) -> None:
    text = "\n".join(module._functions("r", Answer([FUNCTION]), Answer(jobs), "UTC"))
    assert [words for words in expected if words not in text] == []


def test_a_function_of_another_region_is_only_a_comment() -> None:
    assert list(module._functions("q", Answer([FUNCTION]), Answer(()), "UTC")) == [f"# not in q: {FUNCTION['name']}"]


def table(name: str, dataset: str = "main", **columns: str) -> dict[str, Any]:
    fields = [{"name": column, "type": kind} for column, kind in columns.items()]
    return {"tableReference": {"datasetId": dataset, "tableId": name}, "schema": {"fields": fields}}


def drafted(*tables: Any, datasets: tuple[str, ...] = ("main",)) -> dict[str, str]:
    rows = [{"datasetReference": {"datasetId": name}, "location": "EU"} for name in datasets]
    return module._draft("r", Answer(()), Answer(()), Answer(rows), Answer(tables))


def test_the_columns_decide_what_a_table_is() -> None:
    run = table(
        "log", "etl", Outcome="STRING", begun_at="STRING", Started="TIMESTAMP", connector="STRING", n_rows="INTEGER"
    )
    found = drafted(
        run,
        table("mail", "etl", created="TIMESTAMP", sent="TIMESTAMP", day="DATE"),
        table("days", "etl", day="DATE"),
        table("scores", "etl", day="DATE"),
        table("lookup", "etl", id="STRING"),
        table("elsewhere", at="TIMESTAMP"),
        datasets=("etl", "etl_archive", "main"),
    )
    assert (found["main"], found["backup"]) == ("etl", "etl_archive")
    assert found["datasets"] == "etl in EU, etl_archive in EU, main in EU"
    assert [found[k] for k in ("name", "status", "started_at", "source_system", "records", "error")] == [
        *("log", "Outcome", "Started", "connector", "n_rows", "")
    ]
    assert (found["scores"], found["date"], found["dates"]) == ("scores", "day", "mail.day, days.day, scores.day")
    assert yaml.safe_load(found["freshness"]) == [{"name": "mail", "column": "sent", "limit_hours": "<hours>"}]
    assert "# days has no TIMESTAMP column, only day" in found["freshness"]


def test_without_such_tables_there_are_placeholders() -> None:
    found = drafted(table("x", a="STRING"), table("y", a="STRING"))
    assert found["main"] == "main"
    assert all(found[name].startswith("<") for name in ("backup", "name", "status", "source_system", "scores", "date"))
    assert (found["freshness"], found["dates"]) == ("    []", "none")


@pytest.mark.parametrize("seed", range(60))
def test_damaged_answers_make_a_draft_all_the_same(seed: int) -> None:
    chance = random.Random(seed)
    rows = [FUNCTION], [job("a", "5 * * * *")], [{"datasetReference": {"datasetId": "main"}, "location": "EU"}]
    tables = [table("runs", status="STRING", started="TIMESTAMP", source="STRING"), table("s", score_date="DATE")]
    given = [damaged(part, chance) for part in (*rows, tables)]
    made = module._draft("r", *(Answer(part if isinstance(part, list) else [part]) for part in given))
    yaml.safe_load(module.TEMPLATE.substitute(made, project="p", region="r", target="google", gaps=""))


def test_what_no_project_knows_is_as_in_the_template_for_people() -> None:
    end = (ROOT / "params/production.yaml").read_text(encoding="utf-8").partition("\nthresholds:")
    assert module.TEMPLATE.template.partition("\nthresholds:")[1:] == end[1:]
