"""The real `bq` and `gcloud` as independent clients: what they see in the served sandbox is what our facts say.

Every equivalent line of a fact or of a change is run as it is printed, except those under CANNOT_RUN, and the guide's
own commands are run as corrected (its `--gen2 --region` is refused by today's gcloud; log commands look at the last day
of the wall clock). What our library writes, bq and gcloud see; what they write, our facts see. `make test` runs each
command that reads once and one line of each kind of change, `make test-full` every line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from runbook import checks, facts, plans
from runbook.apply.actions import ACTIONS
from runbook.apply.secret_value import SecretValue
from runbook.cloud.bucket import Bucket
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.transports import Loopback
from runbook.config.load import load_settings
from runbook.config.request import Request, request
from runbook.facts.base import observe
from runbook.incidents.remedies import FIXES
from runbook.model.actions import CopyTable
from runbook.model.errors import Refused
from runbook.model.facts import Fact, Seen
from runbook.model.findings import Findings
from runbook.model.moment import Moment
from runbook.model.plan import Change
from runbook.model.rows import SourceState
from tests.layout import offered
from tests.runbook.changes import runs_of
from tests.runbook.changes import side as sided
from tests.runbook.rows import row
from tests.slices import first_of_each, selected

pytestmark = pytest.mark.skipif(
    not (shutil.which("bq") and shutil.which("gcloud")), reason="bq and gcloud are not installed here"
)
CANNOT_RUN = {
    "access": "curl asks Google's host by its name; there is no gcloud command for testIamPermissions",
    "feeds": "curl asks public status pages by their names",
    "quotas": "curl asks Google's host by its name; gcloud lists no time series",
    "source": "git, pytest and detect-secrets look at a folder, not at a cloud",
    "noticed": "the record store is a folder, not a cloud",
    "notified": "the record store is a folder, not a cloud",
    "rehearsal": "the record store is a folder, not a cloud",
    "revisions": "gcloud run talks to the Knative API",
    "users": "gcloud run talks to the Knative API",
    "update function": "gcloud functions deploy lists runtimes and asks other services for more before it begins",
    "route traffic": "gcloud run talks to the Knative API",
    "start with new secret": "gcloud run talks to the Knative API",
    "start a new revision": "gcloud run talks to the Knative API",
}
SECRET = "gmail-oauth-token"
COPY = {"dataset": "sales_intelligence", "table": "gmail_messages", "operation": "SNAPSHOT"}
COPY |= {"to_dataset": "sales_intelligence_backup", "to_table": "gmail_messages_20260310"}
GIVEN = {
    "copies": ([CopyTable(**COPY)],),
    "revisions": ("gmail-sync",),
    "runs_of": ("gmail-sync",),
    "runs_of_users": (SECRET,),
    "service": ("gmail-sync",),
    "users": (SECRET,),
    "versions": (SECRET,),
}
FACTS = {name: getattr(facts, name)(*GIVEN.get(name, ())) for name in offered(facts) if name not in CANNOT_RUN}
P = "acme-sales-sandbox"
BQ = "bq --format=json query --use_legacy_sql=false --max_rows=1000"
GUIDE = {
    "freshness of one table": f"{BQ} 'SELECT MAX(sent_at) FROM `{P}.sales_intelligence.gmail_messages`'",
    "runs today": f"{BQ} 'SELECT * FROM `{P}.sales_intelligence.etl_runs` WHERE DATE(started_at) = CURRENT_DATE() "
    "ORDER BY started_at DESC'",
    "account scores": f"{BQ} 'SELECT COUNT(*), score_date FROM `{P}.sales_intelligence.account_recommendations` "
    "GROUP BY score_date ORDER BY score_date DESC LIMIT 7'",
    "success rate": f"""{BQ} 'SELECT DATE(started_at) as date, COUNTIF(status = "success") as success,
        COUNTIF(status = "failed") as failed FROM `{P}.sales_intelligence.etl_runs`
        WHERE started_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY) GROUP BY date ORDER BY date DESC'""",
    "data freshness": f"""{BQ} 'SELECT "gmail_messages" as table_name,
        TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), MAX(sent_at), HOUR) as hours_stale
        FROM `{P}.sales_intelligence.gmail_messages` UNION ALL
        SELECT "sf_accounts", TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), MAX(last_modified_date), HOUR)
        FROM `{P}.sales_intelligence.sf_accounts`'""",
    "errors of ten years": "gcloud logging read 'severity>=ERROR' --limit=50 --freshness=3650d --format=json",
    "function logs": "gcloud functions logs read gmail-sync --gen2 --region=us-central1 --limit=50 --format=json "
    "--start-time=2026-03-01T00:00:00Z",
    "functions of a region": "gcloud functions list --v2 --regions=us-central1 --format=json",
    "secret metadata": "gcloud secrets describe hubspot-api-key --format=json",
}
# The command that the line of each fact calls. `make test` runs one line of each program.
COMMANDS = {
    "bq ls": ["tables", "snapshots"],
    "bq query": [
        *("freshness", "copies", "etl_failures", "etl_today", "etl_week", "recent_runs", "runs_of", "runs_of_users"),
        "scores",
    ],
    "bq show": ["schema"],
    "gcloud functions describe": ["service"],
    "gcloud functions list": ["functions"],
    "gcloud logging read": ["errors", "changes"],
    "gcloud scheduler jobs list": ["jobs"],
    "gcloud secrets versions list": ["versions", "secrets"],
}
LISTED = {name: called for called, names in COMMANDS.items() for name in names}
REFUSED = {"the guide's own list command": "gcloud functions list --gen2 --region=us-central1"}


def command(line: str) -> str:
    """The program and its subcommand, without options and names."""
    return " ".join(word for word in line.split()[:4] if re.fullmatch("[a-z]+", word))


LINES = first_of_each(lambda name: (LISTED.get(name) or command(GUIDE[name])).split()[0], [*LISTED, *GUIDE])


@pytest.fixture(scope="module")
def cloud() -> Any:
    return connect(load_settings("sandbox"), "many_errors")


@pytest.fixture(scope="module")
def moment(cloud: Any) -> Moment:
    return Moment(cloud.now()[0], cloud.settings.zone)


Said = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def said(
    request: pytest.FixtureRequest, cloud: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Said]:
    """A function `said(name)` → the result of that line. Two lines run at a time, as each takes a second of processor time."""
    with serve(gcp_sandbox.app(cloud.settings.inventory(), "many_errors")) as served, ThreadPoolExecutor(2) as pool:
        run = shell(served.url, tmp_path_factory)

        @cache
        def started(name: str) -> Future[subprocess.CompletedProcess[str]]:
            line = (GUIDE | REFUSED).get(name) or observe(FACTS[name], cloud, moment).line
            return pool.submit(run, re.sub("^bq (?!--format)", "bq --format=json ", line))

        for given in selected(request):
            started(given["name"])
        yield lambda name: started(name).result()


def shell(url: str, folders: pytest.TempPathFactory) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a line in a shell whose bq and gcloud ask the sandbox at `url`; several threads may call it at once."""
    place = folders.mktemp("cli")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **environment(url, P, Path(tempfile.mkdtemp(dir=place)))}
        return subprocess.run(line, shell=True, env=env, capture_output=True, text=True, timeout=120)

    return run


def rows(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr + result.stdout
    return json.loads(result.stdout[min(i for i in map(result.stdout.find, "[{") if i >= 0) :])


def ended(entry: dict[str, Any]) -> str:
    """When what an entry is about ended: the timestamp of a request is its beginning."""
    took = float(entry.get("httpRequest", {}).get("latency", "0s").removesuffix("s"))
    return f"{datetime.fromisoformat(entry['timestamp']) + timedelta(seconds=took):%FT%T}"


def plain(values: dict[str, Any]) -> dict[str, str | None]:
    """A row as text, the way `bq` prints it: times in UTC, nothing as None, truth in small letters."""
    times = {k: f"{v.astimezone(UTC):%F %T}" for k, v in values.items() if isinstance(v, datetime)}
    truths = {k: str(v).lower() for k, v in values.items() if isinstance(v, bool)}
    return {k: None if v is None else str(v) for k, v in (values | times | truths).items()}


def test_every_fact_with_a_line_is_tried() -> None:
    assert sorted(LISTED) == sorted(FACTS), (
        "Add each new fact to COMMANDS, under the command of its line, or to CANNOT_RUN with the reason"
    )


@pytest.mark.parametrize("name", [name for name in LINES if name.values[0] in LISTED])
def test_the_printed_line_sees_what_the_fact_says(said: Said, cloud: Any, moment: Moment, name: str) -> None:
    fact = observe(FACTS[name], cloud, moment)
    assert command(fact.line) == LISTED[name]
    assert said(name).returncode == 0, said(name).stderr + said(name).stdout
    if name in ("functions", "jobs"):
        listed = re.findall(r"(?m)^(?:NAME: )?([a-z][a-z0-9-]+)(?: |$)", said(name).stdout)
        assert sorted(listed) == [r.name for r in fact.rows], said(name).stdout
        return
    if name in ("versions", "secrets"):
        plainly = re.sub(r"\x1b\[[\d;]*m", "", said(name).stdout)
        listed = re.findall(r"(?m)^(?:NAME: )?(\d+)\s+(?:STATE: )?(\w+)", plainly)
        assert listed == [(str(r.version), r.state.lower()) for r in fact.rows], said(name).stdout
        return
    if name == "changes":
        seen = json.loads(said(name).stdout)
        assert [e["protoPayload"]["methodName"].rsplit(".", 1)[-1] for e in seen] == [r.what for r in fact.rows]
        return
    if name == "service":
        described = yaml.safe_load(said(name).stdout)
        assert described["state"] == fact.rows[0].state
        assert described["buildConfig"]["runtime"] == fact.rows[0].runtime
        assert described["serviceConfig"]["availableMemory"] == fact.rows[0].memory
        assert described["serviceConfig"]["timeoutSeconds"] == fact.rows[0].timeout_s
        return
    seen = rows(said(name))
    if name in ("tables", "snapshots"):
        kind = {"tables": "TABLE", "snapshots": "SNAPSHOT"}[name]
        listed = [t["tableReference"]["tableId"] for t in seen if t["type"] == kind]
        assert listed == sorted(r.table if name == "tables" else r.snapshot for r in fact.rows)
        return
    if name == "schema":
        assert [c["name"] for c in seen] == [r.column for r in fact.rows if r.table == "account_recommendations"]
    elif name == "errors":
        assert {ended(entry) for entry in seen} >= {f"{r.at.astimezone(UTC):%FT%T}" for r in fact.rows}
    else:
        assert fact.rows, (
            f"{name} has no row in the world many_errors, so its line shows nothing to compare. Add what it reads to "
            "lib/gcp_sandbox/worlds/many_errors.yaml, or arguments with which it has rows to GIVEN"
        )
        columns = set(seen[0])
        assert [plain(one) for one in seen] == [
            plain({k: v for k, v in vars(one).items() if k in columns}) for one in fact.rows
        ]
    assert fact.rows


@pytest.mark.parametrize("name", [name for name in LINES if name.values[0] in GUIDE])
def test_the_guides_command_works(said: Said, name: str) -> None:
    assert rows(said(name))


@pytest.mark.full
def test_values_of_the_guides_commands(said: Said, cloud: Any, moment: Moment) -> None:
    assert len(rows(said("functions of a region"))) == 13
    listed = {ended(entry) for entry in rows(said("errors of ten years"))}  # the newest 50
    known = {f"{r.at.astimezone(UTC):%FT%T}" for r in observe(facts.errors(hours=10000), cloud, moment).rows}
    assert {at for at in known if at > min(listed)} <= listed
    assert known & listed
    scores = observe(facts.scores(), cloud, moment)
    assert [r["f0_"] for r in rows(said("account scores"))] == [str(r.accounts) for r in scores.rows]
    stale = {r.table_name: r.minutes_stale // 60 for r in observe(facts.freshness(), cloud, moment).rows}
    assert {r["table_name"]: int(r["hours_stale"]) for r in rows(said("data freshness"))}.items() <= stale.items()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_guide_says_and_gcloud_refuses(said: Said, name: str) -> None:
    assert said(name).returncode == 2


# --- changes: each line that a plan prints, and what either side writes, seen by the other

ASKED: dict[str, list[dict[str, Any]]] = {
    "deploy": [
        {"source": "", "memory": "1Gi", "test_run": False},
        {"test_run": False},
        {"restart": True, "test_run": False},
    ],
    "rollback": [{}],
    "rotate_secret": [{}],
    "retire_secret": [{}, {"to": "enable", "version": 1}],
    "backup": [{"tables": "sf_accounts"}],
    "restore": [
        {"snapshot": "sf_accounts_20260310"},
        {"snapshot": "", "table": "sf_opportunities", "at": "2026-03-10T09:00"},
    ],
    "schema_change": [{"mode": "REPEATED"}],
    "retry": [{"function": "entity-resolution"}],
    "scheduler": [{"jobs": "calendar-sync"}, {"jobs": "embeddings", "to": "resume"}],
}
WORLD = """about: A test.
now: 2026-03-11T13:30:00Z
secrets: [{name: gmail-oauth-token, versions: [{age: 900d, state: DISABLED}, {age: 700d}, {age: 365d}]}]
jobs: [{select: {name: embeddings}, state: PAUSED}]
"""
CODE = row(SourceState, source="sample", whole_digest="1" * 40)
CASES = [(name, ask) for name, asks in ASKED.items() for ask in asks]


def seen(cloud: Any, name: str, ask: dict[str, Any]) -> tuple[Request, Seen]:
    """What a plan needs to have seen, without asking the files for a source."""
    wanted, at = request(name, ask), Moment(cloud.now()[0], cloud.settings.zone)
    function, secret = wanted.values.get("function", "gmail-sync"), wanted.values.get("secret", SECRET)
    asks = {
        **{"service": facts.service(function), "revisions": facts.revisions(function), "jobs": facts.jobs()},
        **{"runs": facts.runs_of(function), "versions": facts.versions(secret), "users": facts.users(secret)},
        **{"tables": facts.tables(), "snapshots": facts.snapshots(), "rehearsal": facts.rehearsal(wanted)},
    }
    found = {key: observe(one, cloud, at) for key, one in asks.items()}
    rows = (CODE,) if wanted.values.get("source") else ()
    return wanted, Seen(found | {"source": Fact("source", rows, "", at.at)})


def changes(cloud: Any, name: str, ask: dict[str, Any]) -> list[Change]:
    at = Moment(cloud.now()[0], cloud.settings.zone)
    return list(getattr(plans, name)(*seen(cloud, name, ask), Findings(), cloud.settings, at).changes)


class Side:
    """A served sandbox, our library's cloud of it, and a shell for bq and gcloud."""

    def __init__(self, app: Any, url: str, folders: pytest.TempPathFactory):
        self.app, self.url = app, url
        self.cloud = Cloud(load_settings("sandbox"), "sandbox", Loopback(url))
        self.run = shell(url, folders)
        self.planned = [change for name, ask in CASES for change in changes(self.cloud, name, ask)]

    def left(self) -> set[str]:
        """The actions that a plan still wants; one whose table is there already has none."""
        found = set()
        for name, ask in CASES:
            with suppress(Refused):
                found |= {c.action for c in changes(self.cloud, name, ask)}
        return found

    def many(self, lines: list[str]) -> list[subprocess.CompletedProcess[str]]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.run, lines))


@pytest.fixture
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """One that the test may change."""
    with served_side(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """One that no test changes."""
    with served_side(tmp_path_factory) as made:
        yield made


@contextmanager
def served_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    world = tmp_path_factory.mktemp("world") / "world.yaml"
    world.write_text(WORLD)
    app = gcp_sandbox.app(load_settings("sandbox").inventory(), str(world))
    with serve(app) as served:
        yield Side(app, served.url, tmp_path_factory)


def test_every_kind_of_change_has_a_line_that_is_tried(looked_at: Side) -> None:
    assert {name for name, _ in CASES} == set(offered(plans)), "Add what the new plan is asked for to ASKED"
    # A message is sent by apprise's command, which tests/runbook/apply/test_notify.py runs.
    assert {change.action for change in looked_at.planned} == set(ACTIONS) - {"notify"}, (
        "No plan of ASKED contains the new action: add a request to ASKED, and to WORLD what it needs"
    )


@pytest.mark.full  # each line takes a second of processor time
def test_what_a_printed_line_does_stands_in_the_sandbox(side: Side) -> None:
    """A line of each kind of change."""
    planned = [c for c in side.planned if c.action not in CANNOT_RUN]
    chosen = list({c.action: c for c in reversed(planned)}.values())
    assert {c.action for c in chosen} == set(ACTIONS) - {*CANNOT_RUN, "notify"}
    before = max(runs_of(side.app, c.args.function) for c in chosen if c.action == "run once")
    assert {sided(side.app, c, before) for c in chosen} == {"old"}
    for change, result in zip(chosen, side.many([piped(c) for c in chosen]), strict=True):
        assert result.returncode == 0, f"{change.line}\n{result.stdout}{result.stderr}"
        assert sided(side.app, change, before) == "new", change


def piped(change: Change) -> str:
    """The line of a change, with a value for a new version of a secret."""
    return f"printf new-value | {change.line}" if "versions add" in change.line else change.line


@pytest.mark.full
def test_what_the_printed_lines_do_our_facts_see(side: Side) -> None:
    begin, once = moment_of(side), {c.resource for c in side.planned if c.action == "run once"}
    lines = list(dict.fromkeys(piped(c) for c in side.planned if c.action not in CANNOT_RUN))
    assert len(lines) == 12
    for line, result in zip(lines, side.many(lines), strict=True):
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    # What stays planned: runs are always one more, a rotation one version more, and what could not be run.
    assert side.left() == {*CANNOT_RUN, "run once", "add secret version", "set version state"} & set(ACTIONS)
    versions = observe(facts.versions(SECRET), side.cloud, moment_of(side)).rows
    assert {r.version: r.state for r in versions} == {4: "ENABLED", 3: "ENABLED", 2: "DISABLED", 1: "ENABLED"}
    jobs = {r.name: r.state for r in observe(facts.jobs(), side.cloud, moment_of(side)).rows}
    assert (jobs["calendar-sync"], jobs["embeddings"]) == ("PAUSED", "ENABLED")
    tables = {r.table: r for r in observe(facts.tables(), side.cloud, moment_of(side)).rows}
    assert tables["sf_accounts"].columns["industry"] == ("STRING", "REPEATED")
    [made] = [
        r for r in observe(facts.snapshots(), side.cloud, moment_of(side)).rows if r.snapshot == "sf_accounts_20260311"
    ]
    assert made.rows == tables["sf_accounts"].rows
    assert made.expires - moment_of(side).at > timedelta(days=29)
    copies = [c.args for c in side.planned if c.action == "copy table"]
    compared = observe(facts.copies(copies), side.cloud, moment_of(side))
    assert len(compared.rows) == len(copies) == 3
    assert {f.verdict.name for f in checks.after_copy(compared, side.cloud.settings, moment_of(side))} == {"ok"}
    for function in once:
        newest = observe(facts.runs_of(function), side.cloud, moment_of(side)).rows[0]
        assert newest.started_at > begin.at


def moment_of(side: Side) -> Moment:
    return Moment(side.cloud.now()[0], side.cloud.settings.zone)


@pytest.mark.full
def test_what_our_library_does_bq_and_gcloud_see(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "THE_NEW_VALUE")
    monkeypatch.setenv("THE_NEW_VALUE", "from our library")
    for change in side.planned:
        if "source" in str(getattr(change.args, "after", "")):
            continue  # a source is uploaded; tests/runbook/apply/test_apply.py does that
        write(side.cloud, change)
    [serving] = [c.args.after for c in side.planned if c.action == "route traffic"]
    flags = f"--project={P} --format=json"
    asks = {
        "versions": f"gcloud secrets versions list {SECRET} {flags}",
        "value": f"gcloud secrets versions access 4 --secret={SECRET} --project={P}",
        "function": f"gcloud functions describe gmail-sync --v2 --region=us-central1 {flags}",
        "job": f"gcloud scheduler jobs describe calendar-sync --location=us-central1 {flags}",
        "run": f"gcloud scheduler jobs describe entity-resolution --location=us-central1 {flags}",
        "snapshot": f"bq --format=json show {P}:sales_intelligence_backup.sf_accounts_20260311",
        "restored": f"bq --format=json ls --max_results=1000 {P}:sales_intelligence",
        "column": f"bq --format=json show {P}:sales_intelligence.sf_accounts",
    }
    results = dict(zip(asks, side.many(list(asks.values())), strict=True))
    states = {v["name"].rsplit("/", 1)[1]: v["state"] for v in rows(results["versions"])}
    assert states == {"4": "ENABLED", "3": "ENABLED", "2": "DISABLED", "1": "ENABLED"}
    assert results["value"].stdout == "from our library"
    assert rows(results["function"])["serviceConfig"]["availableMemory"] == "1Gi"
    assert rows(results["job"])["state"] == "PAUSED"
    assert rows(results["run"])["lastAttemptTime"] >= "2026-03-11T13:30:00Z"
    assert rows(results["snapshot"])["snapshotDefinition"]["baseTableReference"]["tableId"] == "sf_accounts"
    restored = {t["tableReference"]["tableId"] for t in rows(results["restored"])}
    assert restored >= {"sf_accounts_20260310_restored", "sf_opportunities_20260310T0900_restored"}
    assert {"name": "industry", "type": "STRING", "mode": "REPEATED"} in rows(results["column"])["schema"]["fields"]
    assert list(serving.values()) == [100]


@pytest.mark.full
def test_gcloud_storage(side: Side, tmp_path: Path) -> None:
    """A create that must not replace, lists, both ways of reading, and a delete."""
    bucket = f"gs://{P}-runbooks"
    (tmp_path / "new.json").write_bytes(b'{"a": 1}\r\n')
    create = f"gcloud storage cp {tmp_path}/new.json {bucket}/runs/1/new.json --if-generation-match=0"
    assert side.run(create).returncode == 0
    again = side.run(create)
    assert (again.returncode, "HTTPError 412: At least one of the pre-conditions" in again.stderr) == (1, True)
    asks = [
        f"gcloud storage ls {bucket}/runs/",
        f"gcloud storage ls --recursive {bucket}",
        f"gcloud storage cat {bucket}/runs/1/new.json",
        f"gcloud storage cp {bucket}/runs/1/new.json {tmp_path}/copy.json",
    ]
    below, every, shown, copied = side.many(asks)
    assert below.stdout.split() == [f"{bucket}/runs/1/"]
    assert f"{bucket}/runs/1/new.json" in every.stdout.split()
    assert shown.stdout == '{"a": 1}\n'  # read as text
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "copy.json").read_bytes() == b'{"a": 1}\r\n'
    labels = {"verdict": "alert", "ended_at": "2026-03-11T13:30:00.000+00:00"}
    Bucket(bucket, side.url).create("runs/1/record.json", b"{}", labels)
    listed = side.run(f"gcloud storage objects list {bucket}/runs/*/record.json --format=json")
    assert [item["custom_fields"] for item in json.loads(listed.stdout)] == [labels], listed.stderr
    assert side.run(f"gcloud storage rm {bucket}/runs/1/record.json").returncode == 0
    assert side.run(f"gcloud storage rm {bucket}/runs/1/new.json").returncode == 0
    assert side.run(f"gcloud storage ls {bucket}/runs/").returncode == 1


def write(cloud: Any, change: Change) -> None:
    """One change as `apply` makes it, without plan and approval."""

    def send(method: str, url: str, body: Any = None, headers: Any = None) -> Any:
        return cloud.write(method, url, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    action = ACTIONS[change.action]
    for _ in range(10):
        before = action.observe(cloud, change)
        if before.state != "pending":
            break
    action.do(send, cloud, change, before, SecretValue())
    for _ in range(10):
        if action.observe(cloud, change).state != "pending":
            break


@pytest.mark.full
def test_gcloud_knows_every_flag_of_the_lines_that_are_not_run(
    looked_at: Side, cloud: Any, moment: Moment, tmp_path: Any
) -> None:
    lines = [c.line for c in looked_at.planned if c.action in CANNOT_RUN]
    lines += [facts.revisions("gmail-sync")(cloud, moment).line]
    lines += facts.users(SECRET)(cloud, moment).line.splitlines()
    split = replace(
        seen(looked_at.cloud, "rollback", {})[1].service.rows[0], targets={"latest": 90, "x": 10}, pinned=True
    )
    given = Seen(
        {**seen(looked_at.cloud, "rollback", {})[1].facts, "service": Fact("service", (split,), "", moment.at)}
    )
    wanted = {"revision": given.revisions.rows[-1].revision}
    [change] = plans.rollback(request("rollback", wanted), given, Findings(), cloud.settings, moment).changes
    [release] = plans.rollback(
        request("rollback", {"revision": "latest"}), given, Findings(), cloud.settings, moment
    ).changes
    lines += [change.undo, release.line]
    system = cloud.settings
    named = system.roles.model_copy(update={"entitlements": {"roles/run.developer": "runbook-changes"}})
    known = (system, system.model_copy(update={"roles": named}))
    lines += [one.for_hours("roles/run.developer") for one in known]
    lines += [fix["line"].format(function="f", region="r", project="p") for fix in FIXES.values() if "line" in fix]
    wrong = ["gcloud run services update-traffic gmail-sync --nope=1", "gcloud functions deploy gmail-sync --v2"]
    tried = [*dict.fromkeys(lines), *wrong]
    file = tmp_path / "lines.json"
    file.write_text(json.dumps([{"command_string": line, "id": n} for n, line in enumerate(tried)]))
    judged = rows(looked_at.run(f"gcloud meta lint-gcloud-commands --commands-file={file}"))
    assert [row["command_string"] for row in judged] == tried
    assert [row["command_string"] for row in judged if not row["success"]] == wrong
