"""The real `bq` and `gcloud` as independent clients: what they see in the served sandbox is what our facts say.

Every equivalent line that the daily check prints is run as it is printed, and the guide's own commands are run as
corrected (its `--gen2 --region` is refused by today's gcloud; log commands look at the last day of the wall clock).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from runbook import facts, settings
from runbook.cloud.connect import connect
from runbook.facts.read import look
from runbook.moment import Moment

pytestmark = pytest.mark.skipif(
    not (shutil.which("bq") and shutil.which("gcloud")), reason="bq and gcloud are not installed here"
)
CANNOT_RUN = {"access": "curl asks Google's host by its name; there is no gcloud command for testIamPermissions"}
FACTS = {name: getattr(facts, name) for name in facts.__all__ if name not in CANNOT_RUN}
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
    "errors": "gcloud logging read 'severity>=ERROR' --limit=50 --freshness=3650d --format=json",
    "function logs": "gcloud functions logs read gmail-sync --gen2 --region=us-central1 --limit=50 --format=json "
    "--start-time=2026-03-01T00:00:00Z",
    "functions of a region": "gcloud functions list --v2 --regions=us-central1 --format=json",
    "one function": "gcloud functions describe gmail-sync --v2 --region=us-central1 --format=json",
    "secret metadata": "gcloud secrets describe hubspot-api-key --format=json",
    "secret versions": "gcloud secrets versions list hubspot-api-key --format=json",
    "scheduler jobs": "gcloud scheduler jobs list --location=us-central1 --format=json",
    "table": f"bq --format=json show {P}:sales_intelligence.etl_runs",
    "tables": f"bq --format=json ls {P}:sales_intelligence",
}
REFUSED = {"the guide's own list command": "gcloud functions list --gen2 --region=us-central1"}


@pytest.fixture(scope="module")
def cloud() -> Any:
    return connect(settings.load("sandbox"), "many_errors")


@pytest.fixture(scope="module")
def moment(cloud: Any) -> Moment:
    return Moment(cloud.now()[0], cloud.settings.zone)


@pytest.fixture(scope="module")
def said(cloud: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every command's result by its name: two at a time, because each takes a second of processor time."""
    lines = {name: ask()(cloud, moment).line for name, ask in FACTS.items()}
    lines = {name: line.replace("bq query", "bq --format=json query") for name, line in lines.items()} | GUIDE | REFUSED
    with serve(gcp_sandbox.app(cloud.settings.inventory(), "many_errors")) as served, ThreadPoolExecutor(2) as pool:

        def run(line: str) -> subprocess.CompletedProcess[str]:
            folder = tmp_path_factory.mktemp("cli")
            env = {**os.environ, **environment(served.url, P, folder)}
            return subprocess.run(line, shell=True, env=env, capture_output=True, text=True, timeout=60)

        yield dict(zip(lines, pool.map(run, lines.values()), strict=True))


def rows(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr + result.stdout
    return json.loads(result.stdout[min(i for i in map(result.stdout.find, "[{") if i >= 0) :])


def plain(row: dict[str, Any]) -> dict[str, str | None]:
    """A row as text, the way `bq` prints it: times in UTC, nothing as None."""
    times = {k: f"{v.astimezone(UTC):%F %T}" for k, v in row.items() if isinstance(v, datetime)}
    return {k: None if v is None else str(v) for k, v in (row | times).items()}


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_printed_line_sees_what_the_fact_says(said: Any, cloud: Any, moment: Moment, name: str) -> None:
    fact = look(FACTS[name](), cloud, moment)
    if name in ("functions", "jobs"):
        listed = re.findall(r"(?m)^(?:NAME: )?([a-z][a-z0-9-]+)(?: |$)", said[name].stdout)
        assert sorted(listed) == [r["name"] for r in fact.rows], said[name].stdout
        assert said[name].returncode == 0, said[name].stderr
        return
    seen = rows(said[name])
    if name == "schema":
        assert [c["name"] for c in seen] == [r["column"] for r in fact.rows if r["table"] == "account_recommendations"]
    elif name == "errors":
        assert [e["timestamp"][:19] for e in seen] == [
            f"{r['at'].astimezone(moment.at.tzinfo):%FT%T}" for r in fact.rows
        ]
    else:
        assert [plain(row) for row in seen] == [plain(row) for row in fact.rows]
    assert fact.rows


@pytest.mark.parametrize("name", sorted(GUIDE))
def test_the_guides_command_works(said: Any, name: str) -> None:
    assert rows(said[name])


def test_values_of_the_guides_commands(said: Any, cloud: Any, moment: Moment) -> None:
    assert len(rows(said["functions of a region"])) == 13
    assert len(rows(said["errors"])) == len(look(facts.errors(hours=10000), cloud, moment).rows)
    scores = look(facts.scores(), cloud, moment)
    assert [r["f0_"] for r in rows(said["account scores"])] == [str(r["accounts"]) for r in scores.rows]
    stale = {r["table_name"]: r["minutes_stale"] // 60 for r in look(facts.freshness(), cloud, moment).rows}
    assert {r["table_name"]: int(r["hours_stale"]) for r in rows(said["data freshness"])}.items() <= stale.items()
    assert {v["state"] for v in rows(said["secret versions"])} == {"ENABLED", "DISABLED"}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_guide_says_and_gcloud_refuses(said: Any, name: str) -> None:
    assert said[name].returncode == 2
