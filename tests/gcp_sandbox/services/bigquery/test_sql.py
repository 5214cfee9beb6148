"""GoogleSQL in the sandbox: values, each known from BigQuery's documentation or computed from the raw rows in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, QueryJobConfig, ScalarQueryParameter

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.services.bigquery.googlesql import rewrite
from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

Ask = Callable[..., list[tuple]]
CHICAGO = ZoneInfo("America/Chicago")
RUNS = f"`{PROJECT}.sales_intelligence.etl_runs`"


def client(session) -> bigquery.Client:
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(), _http=session)


def rows(bq: bigquery.Client, text: str, *parameters: Any) -> list[tuple]:
    asked = QueryJobConfig(query_parameters=list(parameters))
    return [row.values() for row in bq.query_and_wait(text, job_config=asked, retry=None, job_retry=None)]


@pytest.fixture(scope="module")
def bq() -> bigquery.Client:
    from google.auth.transport.requests import AuthorizedSession

    session = AuthorizedSession(AnonymousCredentials())
    session.mount("https://", InProcess(gcp_sandbox.app(INVENTORY, "healthy")))
    return client(session)


@pytest.fixture(scope="module")
def ask(bq) -> Ask:
    return lambda text, *parameters: rows(bq, text, *parameters)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


# The clock of `healthy` stands at 2026-03-11 13:30 UTC.
VALUES: list[tuple[str, Any]] = [
    ("CURRENT_TIMESTAMP()", at(2026, 3, 11, 13, 30)),
    ("CURRENT_TIMESTAMP", at(2026, 3, 11, 13, 30)),
    ("CURRENT_DATE()", date(2026, 3, 11)),
    ("CURRENT_DATE('Pacific/Kiritimati')", date(2026, 3, 12)),
    ("CURRENT_DATE('Pacific/Pago_Pago')", date(2026, 3, 11)),
    ("CURRENT_DATETIME('America/Chicago')", datetime(2026, 3, 11, 8, 30)),  # noqa: DTZ001
    ("CURRENT_TIME('America/Chicago')", time(8, 30)),
    ("DATE_SUB(CURRENT_DATE('Pacific/Kiritimati'), INTERVAL 7 DAY)", date(2026, 3, 5)),
    ("CURRENT_DATE() - 1", date(2026, 3, 10)),
    ("DATE_ADD(DATE '2026-01-31', INTERVAL 1 MONTH)", date(2026, 2, 28)),
    ("DATE_DIFF(DATE '2026-03-11', DATE '2026-03-01', DAY)", 10),
    ("DATE_DIFF(DATE '2026-03-15', DATE '2026-03-14', WEEK)", 1),
    ("DATE_TRUNC(DATE '2026-03-11', MONTH)", date(2026, 3, 1)),
    ("DATE_TRUNC(DATE '2026-03-11', WEEK)", date(2026, 3, 8)),
    ("DATE_TRUNC(DATE '2026-03-11', WEEK(MONDAY))", date(2026, 3, 9)),
    ("LAST_DAY(DATE '2026-02-03')", date(2026, 2, 28)),
    # Whole intervals, towards zero; DATETIME_DIFF counts boundaries instead.
    ("TIMESTAMP_DIFF(TIMESTAMP '2026-03-11 13:00:00+00', TIMESTAMP '2026-03-11 12:01:00+00', HOUR)", 0),
    ("TIMESTAMP_DIFF(TIMESTAMP '2026-03-11 12:01:00+00', TIMESTAMP '2026-03-11 14:00:00+00', HOUR)", -1),
    ("TIMESTAMP_DIFF(TIMESTAMP '2026-03-11 13:00:00+00', TIMESTAMP '2026-03-10 13:01:00+00', DAY)", 0),
    ("TIMESTAMP_DIFF(TIMESTAMP '2026-03-11 13:00:00+00', TIMESTAMP '2026-03-10 13:00:00+00', DAY)", 1),
    ("DATETIME_DIFF(DATETIME '2026-03-11 13:00:00', DATETIME '2026-03-11 12:59:00', HOUR)", 1),
    # A day of the team's zone; on 2026-03-08 America/Chicago goes from UTC-6 to UTC-5.
    ("DATE(TIMESTAMP '2026-03-11 04:59:59+00', 'America/Chicago')", date(2026, 3, 10)),
    ("DATE(TIMESTAMP '2026-03-11 05:00:00+00', 'America/Chicago')", date(2026, 3, 11)),
    ("DATE(TIMESTAMP '2026-03-08 05:59:59+00', 'America/Chicago')", date(2026, 3, 7)),
    ("DATE(TIMESTAMP '2026-03-08 06:00:00+00', 'America/Chicago')", date(2026, 3, 8)),
    ("DATE(TIMESTAMP '2026-03-11 04:59:59+00')", date(2026, 3, 11)),
    ("TIMESTAMP('2026-03-08', 'America/Chicago')", at(2026, 3, 8, 6)),
    ("TIMESTAMP(DATE '2026-03-09', 'America/Chicago')", at(2026, 3, 9, 5)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2026-03-11 03:30:00+00', DAY, 'America/Chicago')", at(2026, 3, 10, 5)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2026-03-11 03:30:00+00', HOUR)", at(2026, 3, 11, 3)),
    ("TIMESTAMP_SUB(TIMESTAMP '2026-03-08 18:00:00+00', INTERVAL 1 DAY)", at(2026, 3, 7, 18)),
    ("EXTRACT(HOUR FROM TIMESTAMP '2026-03-11 13:30:00+00' AT TIME ZONE 'America/Chicago')", 8),
    ("EXTRACT(DATE FROM TIMESTAMP '2026-03-11 03:30:00+00' AT TIME ZONE 'America/Chicago')", date(2026, 3, 10)),
    ("EXTRACT(DAYOFWEEK FROM DATE '2026-03-08')", 1),
    ("EXTRACT(ISOWEEK FROM DATE '2026-03-08')", 10),
    ("FORMAT_TIMESTAMP('%F %H:%M', TIMESTAMP '2026-03-11 03:30:00+00', 'America/Chicago')", "2026-03-10 22:30"),
    ("FORMAT_DATE('%a %F', DATE '2026-03-11')", "Wed 2026-03-11"),
    ("PARSE_TIMESTAMP('%Y-%m-%d %H:%M', '2026-03-11 13:30')", at(2026, 3, 11, 13, 30)),
    ("UNIX_SECONDS(TIMESTAMP '2026-03-11 13:30:05.7+00')", 1773235805),
    ("TIMESTAMP_SECONDS(5)", at(1970, 1, 1, 0, 0, 5)),
    ("TIMESTAMP_MILLIS(5)", at(1970, 1, 1) + timedelta(milliseconds=5)),
    ("7 / 2", 3.5),
    ("DIV(-7, 2)", -3),
    ("MOD(-7, 2)", -1),
    ("SAFE_DIVIDE(1, 0)", None),
    ("ROUND(2.5)", 3.0),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("2000000 * 2000000", 4_000_000_000_000),
    ("NUMERIC '1.123456789'", Decimal("1.123456789")),
    ("CONCAT('a', NULL)", None),
    ("SAFE_CAST('x' AS INT64)", None),
    ("b'abc'", b"abc"),
    ("[1, 2]", [1, 2]),
    ("STRUCT(1 AS a, TRUE AS b)", {"a": 1, "b": True}),
    ("REGEXP_CONTAINS('gmail-sync', r'^gmail')", True),
    ("STRING(TIMESTAMP '2026-03-11 13:30:00+00')", "2026-03-11 13:30:00+00"),
    ("(SELECT COUNTIF(x > 1) FROM UNNEST([1, 2, 3]) AS x)", 2),
    ("(SELECT SUM(x) FROM UNNEST([1, 2, 3]) AS x)", 6),
    ("(SELECT STRING_AGG(x, ', ' ORDER BY x) FROM UNNEST(['b', 'a']) AS x)", "a, b"),
    ("ARRAY(SELECT x FROM UNNEST([3, NULL, 1]) AS x WHERE x IS NOT NULL ORDER BY x DESC)", [3, 1]),
    ("ARRAY_LENGTH(GENERATE_DATE_ARRAY(DATE '2026-03-01', DATE '2026-03-11'))", 11),
]
# What would be answered wrongly is not answered: 501 names it. What Google refuses is refused: 400.
REFUSED = [
    ("EXTRACT(WEEK FROM DATE '2026-03-11')", "501.*EXTRACT.WEEK"),
    ("FORMAT_TIMESTAMP('%e', TIMESTAMP '2026-03-11 03:30:00+00')", "501.*format"),
    ("FORMAT('%d', 1)", "501.*FORMAT"),
    ("STRING(TIMESTAMP '2026-03-11 13:30:00+00', 'America/Chicago')", "501.*STRING with a time zone"),
    ("SAFE.SUBSTR('a', 1)", "501.*SAFE"),
    ("NET.HOST('https://example.com')", "501.*NET"),
    ("SESSION_USER()", "501.*SESSION_USER"),
    ("@@project_id", "501.*project_id"),
    ("(SELECT ARRAY_AGG(x LIMIT 1) FROM UNNEST([1]) AS x)", "501.*ARRAY_AGG"),
    ("1 / 0", "400.*division by zero: 1 / 0"),
    ("MOD(5, 0)", "400.*division by zero"),
    ("?", "501.*positional"),
    ("@nobody", "400.*Query parameter 'nobody' not found"),
    ("DATE(CURRENT_TIMESTAMP(), 'Nowhere/Else')", "400.*Invalid time zone: Nowhere/Else"),
    ("TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), CURRENT_TIMESTAMP(), MONTH)", "400.*MONTH"),
    ("ERROR('so it is')", "400.*so it is"),
    # DuckDB's own functions, which could look into this machine.
    ("read_text('/etc/hostname')", "400.*Function not found: read_text at .1:8"),
    ("current_setting('TimeZone')", "400.*Function not found"),
]


@pytest.mark.parametrize(("expression", "value"), VALUES, ids=[e for e, _ in VALUES])
def test_value(ask, expression, value):
    [(got,)] = ask(f"SELECT {expression}")
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(("expression", "said"), REFUSED, ids=[e for e, _ in REFUSED])
def test_refused(ask, expression, said):
    with pytest.raises(GoogleAPICallError, match=f"(?s){said}"):
        ask(f"SELECT {expression}")


WRONG = [
    ("SELECT statuss FROM {runs}", "Unrecognized name: statuss; Did you mean status. at .1:8"),
    ("SELECT e.nope FROM {runs} AS e", "Name nope not found inside e at .1:10"),
    ("SELECT status, COUNT(*) FROM {runs}", "references column status which is neither grouped nor aggregated at .1:8"),
    ("SELECT status AS s FROM {runs}\nWHERE s = 'success'", "Unrecognized name: s at .2:7"),
    ("SELECT 1 AS a, 2 AS a", "Duplicate column names"),
    ("SELECT status FORM {runs}", "Syntax error: Unexpected"),
    ("SELECT 'open", "Unclosed string literal at .1:8"),
    ("SELECT * FROM sales_intelligence.nothing", "Not found: Table acme-test:sales_intelligence.nothing"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_query_is_told_where_it_is_wrong(ask, text, said):
    with pytest.raises(GoogleAPICallError, match=said):
        ask(text.format(runs="sales_intelligence.etl_runs"))


def answer(bq: bigquery.Client, expression: str) -> Any:
    """The schema and the rows of an expression, or what is said against it."""
    x = QueryJobConfig(query_parameters=[ScalarQueryParameter("x", "STRING", "x")])
    try:
        found = bq.query_and_wait(f"SELECT {expression}", job_config=x, retry=None, job_retry=None)
        return found.schema, [row.values() for row in found]
    except GoogleAPICallError as error:
        return error.message


@pytest.fixture(scope="module")
def before(bq: bigquery.Client) -> dict[str, Any]:
    """What each case answers with every rule."""
    return {case: answer(bq, case) for case in ["@x", *(expression for expression, _ in [*REFUSED, *VALUES])]}


@pytest.mark.parametrize("kind", list(rewrite._RULES), ids=lambda kind: kind.__name__)
def test_without_any_one_rule_a_case_would_answer_otherwise(bq, before, monkeypatch, kind):
    monkeypatch.delitem(rewrite._RULES, kind)
    assert any(answer(bq, expression) != value for expression, value in before.items())


def test_names_of_what_has_no_name(bq):
    found = bq.query_and_wait(f"SELECT COUNT(*), status, 1 AS one, MAX(started_at) FROM {RUNS} GROUP BY status")
    assert [f.name for f in found.schema] == ["f0_", "status", "one", "f1_"]
    assert [f.field_type for f in found.schema] == ["INTEGER", "STRING", "INTEGER", "TIMESTAMP"]


PARAMETERS = [
    ("STRING", 'it\'s \\ "quoted"'),
    ("INT64", -7),
    ("FLOAT64", 1.5),
    ("BOOL", True),
    ("DATE", date(2026, 3, 8)),
    ("TIMESTAMP", datetime(2026, 3, 8, 6, 0, 0, 123456, tzinfo=UTC)),
    ("NUMERIC", Decimal("12.5")),
    ("STRING", None),
]


@pytest.mark.parametrize(("kind", "value"), PARAMETERS)
def test_parameter(ask, kind, value):
    assert ask("SELECT @x", ScalarQueryParameter("x", kind, value)) == [(value,)]
    if value is not None:
        assert ask("SELECT ARRAY_LENGTH(@x)", ArrayQueryParameter("x", kind, [value, value])) == [(2,)]


def test_parameters_in_their_places(ask):
    zone = ScalarQueryParameter("zone", "STRING", "America/Chicago")
    hours = ScalarQueryParameter("hours", "INT64", 5)
    assert ask("SELECT DATE(TIMESTAMP '2026-03-11 04:30:00+00', @zone)", zone) == [(date(2026, 3, 10),)]
    assert ask("SELECT TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @hours HOUR)", hours) == [(at(2026, 3, 11, 8, 30),)]
    assert len(ask(f"SELECT run_id FROM {RUNS} LIMIT @hours", hours)) == 5


@pytest.mark.parametrize("names", [["gmail", "scoring"], ["gmail"], [], ["nothing"]])
def test_in_unnest(ask, bq, names):
    listed = [row["source_system"] for row in bq.list_rows("sales_intelligence.etl_runs")]
    asked = ArrayQueryParameter("names", "STRING", names)
    counted = ask(f"SELECT COUNT(*) FROM {RUNS} WHERE source_system IN UNNEST(@names)", asked)
    assert counted == [(sum(name in names for name in listed),)]


def test_freshness_as_the_guide_asks_for_it(ask, bq):
    tables = {"gmail_messages": "sent_at", "sf_accounts": "last_modified_date"}
    parts = [
        f"SELECT '{t}' AS name, TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), MAX({c}), HOUR) AS hours FROM sales_intelligence.{t}"
        for t, c in tables.items()
    ]
    newest = {t: max(row[c] for row in bq.list_rows(f"sales_intelligence.{t}")) for t, c in tables.items()}
    expected = {t: (at(2026, 3, 11, 13, 30) - moment) // timedelta(hours=1) for t, moment in newest.items()}
    assert dict(ask(" UNION ALL ".join(parts))) == expected


@pytest.mark.parametrize("now", ["2026-03-09T03:30:00Z", "2026-03-08T06:30:00Z", "2026-11-02T05:30:00Z"])
def test_runs_a_day_in_the_teams_zone(session, told, now):
    """Around both changes of the clock, with failures in the night before, against the raw rows."""
    world = told("runs: [{select: {source_system: gmail}, since: 9h, until: 3h, outcome: failed, error: broken}]", now)
    here = client(session(world))
    moment = datetime.fromisoformat(now)
    raw = [(r["started_at"], r["status"]) for r in here.list_rows("sales_intelligence.etl_runs")]
    since = moment - timedelta(days=7)

    def counted(zone: Any) -> dict[tuple, int]:
        return Counter((started.astimezone(zone).date(), status) for started, status in raw if started >= since)

    answer = rows(
        here,
        f"SELECT DATE(started_at, @zone) AS day, COUNTIF(status = 'success') AS good, COUNTIF(status = 'failed') AS bad "
        f"FROM {RUNS} WHERE started_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 7 DAY) GROUP BY day ORDER BY day",
        ScalarQueryParameter("zone", "STRING", "America/Chicago"),
    )
    local = counted(CHICAGO)
    assert [day for day, *_ in answer] == sorted({day for day, _ in local})
    assert all(local[day, "success"] == good and local[day, "failed"] == bad for day, good, bad in answer)
    assert sum(bad for *_, bad in answer) > 0
    assert local != counted(UTC)


def test_the_clock_moves_with_a_write(session):
    here = client(session())
    before = rows(here, "SELECT CURRENT_TIMESTAMP()")[0][0]
    rows(here, "ALTER TABLE sales_intelligence.etl_runs ADD COLUMN note STRING")
    assert rows(here, "SELECT CURRENT_TIMESTAMP()") == [(before + timedelta(seconds=1),)]


def test_a_world_shapes_its_tables(session, told):
    world = told(
        "tables: [{name: gmail_messages, stale: 30h}, {name: sf_accounts, absent: true}, "
        "{name: etl_runs, drop: [error_message]}]"
    )
    here = client(session(world))
    assert {t.table_id for t in here.list_tables("sales_intelligence")} == {
        "account_recommendations",
        "etl_runs",
        "gmail_messages",
    }
    assert "error_message" not in {f.name for f in here.get_table("sales_intelligence.etl_runs").schema}
    [(stale,)] = rows(
        here, "SELECT TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), MAX(sent_at), HOUR) FROM sales_intelligence.gmail_messages"
    )
    assert stale == 30


def test_a_date_column_is_the_teams_day(session, told):
    here = client(session(told("", now="2026-03-10T03:30:00Z")))
    assert rows(here, "SELECT MAX(score_date) FROM sales_intelligence.account_recommendations") == [(date(2026, 3, 9),)]


def test_bulk(session, told):
    here = client(session(told("bulk: {runs: 20000}")))
    [(total, oldest, failed)] = rows(
        here,
        f"SELECT COUNT(*), MIN(started_at), COUNTIF(status = 'failed') FROM {RUNS} "
        "WHERE started_at < TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 8 DAY)",
    )
    assert total == 20_000
    assert timedelta(days=364) < at(2026, 3, 11, 13, 30) - oldest < timedelta(days=366)
    assert 0 < failed < total / 20
