"""Reading is total (R1): answers in recorded shapes, and hundreds of damaged ones, are rows or gaps and never an error.

`tests/real` has one file for each shape, and what is the right reading of it. Damaged answers go through the whole of
the daily check and of P1: the notebooks' own cells, in this process.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError
from google.oauth2.credentials import Credentials

from runbook import facts
from runbook.apply.actions import ACTIONS
from runbook.cloud.client import Cloud
from runbook.cloud.guard import READS
from runbook.cloud.query import select
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.incidents.texts.codes import tables
from runbook.model.actions import CopyTable
from runbook.model.errors import NoCredentials, OverCap
from runbook.model.moment import Moment
from runbook.model.plan import Change
from tests.conformance.discovery import misfits
from tests.conformance.test_guard import Wire
from tests.layout import LIB
from tests.recorded import COLUMNS, GIVEN, INDEX, PAGE, REAL, ROUTES, answers, not_ours, table, word
from tests.runbook.changes import Place
from tests.slices import every, every_of_each

NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
SYSTEM = load_settings("sandbox")
LISTS = {"log": "entries", "audit": "entries", "function": "functions", "job": "jobs", "version": "versions"}
# Injected into the answers of the sandbox, for the daily check and P1 as a whole.
WHOLE = [name for name in INDEX if word(name) in {*LISTS, "feed", "permissions", "error", "html"}]


# --- the index, the routes and the page about them


def test_every_answer_is_in_the_index() -> None:
    assert set(INDEX) == set(GIVEN), (
        "Each file of tests/real needs a line in tests/real/index.yaml, and each line a file"
    )
    known = {kind for kinds in COLUMNS.values() for kind in kinds}
    assert {one["kind"] for one in INDEX.values()} <= known, (
        f"`kind` in tests/real/index.yaml is one of {sorted(known)}"
    )


def test_every_answer_has_a_route_and_every_route_is_listed() -> None:
    assert {name for route in ROUTES for name in answers(route)} == set(INDEX), (
        "Add the first word of the entry to `words` of its route in tests/real/routes.yaml"
    )
    listed = [route["route"] for route in ROUTES]
    assert len(listed) == len({*listed})
    reads = {f"{read.method} {read.host.partition('.')[0]} {read.path}" for read in READS}
    queries = {f"POST bigquery /bigquery/v2/projects/*/{kind}" for kind in ("jobs", "queries")}
    assert reads | queries <= {*listed}, "Add the route of the new read to tests/real/routes.yaml"
    bare = [route["route"] for route in ROUTES if not answers(route) and not route.get("unconfirmed")]
    assert bare == [], "Give each in tests/real/routes.yaml `words` of recorded answers, or say what is `unconfirmed`"


def test_every_write_is_listed() -> None:
    """As many lines as the actions have calls of `send`, except the sandbox's inbox, and the two that take a verb."""
    sent = [re.findall(r'send\(\s*"([A-Z]+)"', p.read_text()) for p in (LIB / "runbook/apply/actions").glob("*.py")]
    calls = sorted(method for methods in sent for method in methods)
    listed = sorted([*(route["route"].split()[0] for route in ROUTES if route.get("write")), "POST"])
    assert listed == calls, "Add the route of the new write, with `write: true`, to tests/real/routes.yaml"


def test_the_page_shows_the_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), "make fix writes it again"


@pytest.mark.parametrize("name", GIVEN)
def test_nothing_in_an_answer_is_somebodys(name: str) -> None:
    assert not_ours((REAL / f"{name}.json").read_text(encoding="utf-8")) == [], (
        f"tests/real/{name}.json may name a real project, person, host, address or phone. Replace each: the project is "
        "lumen-crm-prod (number 750551868292), people are …@lumen.example, hosts end in .example or have the names of our "
        "functions, addresses are 203.0.113.…. If it is a public name of Google, add it to tests/recorded.py. Names in free "
        "text are not found: read the file"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"name": "projects/acme-real-prod/locations/us-central1"', ["acme-real-prod"]),
        ('"projectId": "acme-real-prod"', ["acme-real-prod"]),
        ("the project 210987654321 is unknown", ["210987654321"]),
        ("Access Denied: Table acme-real-prod:sales.deals", ["acme-real-prod"]),
        ("FROM `acme-real-prod.sales.deals`", ["acme-real-prod"]),
        ("https://console.cloud.google.com/iam?project=acme-real-prod", ["acme-real-prod"]),
        ("us-central1-docker.pkg.dev/acme-real-prod/repository/image", ["acme-real-prod"]),
        ('"email": "bob@real-company.com"', ["bob@real-company.com"]),
        ("sync@acme-real-prod.iam.gserviceaccount.com", ["sync@acme-real-prod.iam.gserviceaccount.com"]),
        ("https://status.real-company.com:8080/x", ["status.real-company.com"]),
        ("connection to db.real-company.com failed", ["db.real-company.com"]),
        ("https://gmail-sync-q8xw-uc.a.run.app/", ["gmail-sync-q8xw-uc.a.run.app"]),
        ("https://us-central1-acme-real-prod.cloudfunctions.net/f", ["us-central1-acme-real-prod.cloudfunctions.net"]),
        ('"remoteIp": "8.8.4.4"', ["8.8.4.4"]),
        ('"remoteIp": "2a00:1450:4001:81b::200e"', ["2a00:1450:4001:81b::200e"]),
        ("call +49 30 901820 or (415) 867-5309", ["(415) 867-5309", "+49 30 901820"]),
        ("call +1 202 555 0143", []),
    ],
)
def test_what_is_somebodys_is_found(text: str, found: list[str]) -> None:
    assert not_ours(text) == found


SCHEMAS = {
    "audit": ("logging.v2", "LogEntry"),
    "copy": ("bigquery.v2", "Job"),
    "dataset": ("bigquery.v2", "Dataset"),
    "function": ("cloudfunctions.v2", "Function"),
    "job": ("cloudscheduler.v1", "Job"),
    "log": ("logging.v2", "LogEntry"),
    "permissions": ("cloudresourcemanager.v3", "TestIamPermissionsResponse"),
    "revision": ("run.v2", "GoogleCloudRunV2Revision"),
    "series": ("monitoring.v3", "TimeSeries"),
    "service": ("run.v2", "GoogleCloudRunV2Service"),
    "snapshot": ("bigquery.v2", "Table"),
    "table": ("bigquery.v2", "Table"),
    "version": ("secretmanager.v1", "SecretVersion"),
    # by what they list, and by what they say that they are
    "entries": ("logging.v2", "ListLogEntriesResponse"),
    "functions": ("cloudfunctions.v2", "ListFunctionsResponse"),
    "jobs": ("cloudscheduler.v1", "ListJobsResponse"),
    "tables": ("bigquery.v2", "TableList"),
    "versions": ("secretmanager.v1", "ListSecretVersionsResponse"),
    "bigquery#getQueryResultsResponse": ("bigquery.v2", "GetQueryResultsResponse"),
    "bigquery#job": ("bigquery.v2", "Job"),
    "bigquery#queryResponse": ("bigquery.v2", "QueryResponse"),
}
FITTING = {*SCHEMAS, "list", "query", "dry"}


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, i in INDEX.items()
        if i["kind"] in ("documentation", "text") and word(n) in FITTING and "status" not in i
    ],
)
def test_what_is_not_recorded_fits_googles_definition(name: str) -> None:
    value = GIVEN[name]
    for one in value if isinstance(value, list) else [value]:
        schema = SCHEMAS[INDEX[name].get("of") or (word(name) if word(name) in SCHEMAS else one["kind"])]
        assert misfits(schema[0], {"$ref": schema[1]}, one) == []


# --- each answer, read by its reader

Answers = Callable[[requests.PreparedRequest], tuple[int, Any]]


class Answering(Wire):
    """Answers each request with a status and a JSON value, or a page."""

    def __init__(self, answers: Answers):
        super().__init__()
        self.answers = answers

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        response = super().send(request, **more)
        return _filled(response, *self.answers(request))


def _filled(response: requests.Response, status: int, value: Any) -> requests.Response:
    page = isinstance(value, dict) and isinstance(value.get("body"), str) and value.get("status", status) == status
    text = value["body"] if page else json.dumps(value, indent=1)
    response.status_code, response._content = status, text.encode()
    response.headers["Content-Type"] = "text/html" if page else "application/json"
    response.headers["Date"] = "Wed, 11 Mar 2026 13:30:00 GMT"
    return response


def by_path(*pairs: tuple[str, int, Any]) -> Answers:
    """The first answer whose part is in the path of a request."""
    return lambda request: next(pair[1:] for pair in pairs if pair[0] in urlsplit(str(request.url)).path)


class Signed(Credentials):
    """Credentials of a user, with a new token for each refresh."""

    def refresh(self, _: Any) -> None:
        self.token = "x"


def read(ask: Any, answers: Answers, credentials: Any = None) -> Any:
    cloud = Cloud(SYSTEM, "sandbox", Answering(answers), credentials or Signed("x"))
    return observe(ask, cloud, Moment(NOW, SYSTEM.zone))


def seen(ask: Any, value: Any, status: int = 200) -> Any:
    """The fact that is read where every answer is this one."""
    return read(ask, lambda _: (status, value))


FAULTY = "{0} is read as: {1}. If this is an XPASS, it is read rightly now: remove its `fault` in tests/real/index.yaml"


def cases(*words: str) -> list[Any]:
    """The entries of these words. One with a `fault` must fail, until the library reads it rightly."""
    faulty = {
        n: pytest.mark.xfail(strict=True, raises=AssertionError, reason=FAULTY.format(n, one["fault"]))
        for n, one in INDEX.items()
        if "fault" in one
    }
    return [pytest.param(n, marks=faulty.get(n, ())) for n in INDEX if word(n) in words]


def plain(value: Any) -> Any:
    """A value as YAML has it: times in UTC as text, no tuples."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", cases("log"))
def test_a_log_entry(name: str) -> None:
    [row] = seen(facts.errors(), {"entries": [GIVEN[name]]}).rows
    function, severity, text, ours = INDEX[name]["read"]
    assert (row.function, row.severity, row.ours) == (function, severity, ours)
    assert row.text.startswith(text)
    if "cause" in INDEX[name]:
        found = tables().match(row.text, row.platform, "")
        assert found
        assert found.row.cause == INDEX[name]["cause"]


@pytest.mark.parametrize("name", cases("audit"))
def test_an_audit_entry(name: str) -> None:
    entries = GIVEN[name] if isinstance(GIVEN[name], list) else [GIVEN[name]]
    fact, expected = seen(facts.changes(), {"entries": entries}), INDEX[name]["read"]
    assert [[r.who, r.what, r.resource] for r in fact.rows] == (expected or [])
    assert bool(fact.gaps) == (expected is None)


ALL = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
READERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "function": (facts.functions(), lambda one: {"functions": [one]}),
    "job": (facts.jobs(), lambda one: {"jobs": [one]}),
    "revision": (
        facts.revisions("x"),
        lambda one: {
            "revisions": [one],
            "traffic": ALL,
            "trafficStatuses": ALL,
            "latestReadyRevision": one.get("name"),
        },
    ),
    "service": (facts.service("x"), lambda one: one),
    "snapshot": (facts.snapshots(), lambda one: {"tables": [one], **one}),
    "table": (facts.tables(), lambda one: {"tables": [one], **one}),
    "version": (facts.versions("x"), lambda one: {"versions": [one]}),
}


@pytest.mark.parametrize("name", cases(*READERS))
def test_a_resource(name: str) -> None:
    ask, answer = READERS[word(name)]
    found, expected = seen(ask, answer(GIVEN[name])).rows, INDEX[name]["read"]
    assert [{k: plain(getattr(row, k)) for k in expected or ()} for row in found] == ([expected] if expected else [])


PAGES = {
    "entries": facts.errors(),
    "functions": facts.functions(),
    "jobs": facts.jobs(),
    "tables": facts.tables(),
    "versions": facts.versions("x"),
}


@pytest.mark.parametrize("name", cases("list"))
def test_a_page_of_a_list(name: str) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, Any]:
        table = str(request.url).partition("/tables/")[2]
        return 200, {"tableReference": {"tableId": table}} if table else GIVEN[name]

    fact = read(PAGES[INDEX[name]["of"]], answer)
    found = {"rows": [next(iter(vars(row).values())) for row in fact.rows], "gaps": [gap.subject for gap in fact.gaps]}
    assert found == INDEX[name]["read"]


def test_a_function_without_a_service_has_a_row() -> None:
    gone = {"error": {"code": 404, "message": 'service "projects/p/locations/l/services/x" not found'}}
    [row] = read(facts.service("x"), by_path(("/functions/", 200, GIVEN["function_active"]), ("", 404, gone))).rows
    assert (row.state, row.service, row.serving) == ("ACTIVE", "function-1", "")


@pytest.mark.parametrize("name", cases("series"))
def test_a_time_series(name: str) -> None:
    """The quota fact asks for one metric after the other; each gets the series of that metric."""
    every = [GIVEN[n] for n in INDEX if word(n) == "series"]

    def answer(request: requests.PreparedRequest) -> tuple[int, Any]:
        asked = str(request.url)
        return 200, {"timeSeries": [one for one in every if f"%22{quote(one['metric']['type'], safe='')}%22" in asked]}

    expected = INDEX[name]["read"]
    [row] = [row for row in read(facts.quotas(), answer).rows if row.metric == expected["metric"]]
    assert {key: plain(getattr(row, key)) for key in expected} == expected


@pytest.mark.parametrize("spoil", [{"executionErrors": [{"code": 13}]}, {"unreachable": ["projects/x"]}])
def test_quotas_that_are_incomplete_are_a_gap(spoil: dict[str, Any]) -> None:
    fact = seen(facts.quotas(), {"timeSeries": [GIVEN["series_exceeded"]]} | spoil)
    assert not fact.rows
    assert [gap.why for gap in fact.gaps] == ["Cloud Monitoring says that its answer is incomplete"]


@pytest.mark.parametrize("name", cases("permissions"))
def test_permissions(name: str) -> None:
    rows = seen(facts.access(), GIVEN[name]).rows
    assert [row.permission for row in rows if row.held] == INDEX[name]["read"]
    assert {row.permission for row in rows} == {p for held in SYSTEM.roles.required.values() for p in held}


@pytest.mark.parametrize("name", cases("feed"))
def test_a_status_page(name: str) -> None:
    fact, expected = seen(facts.feeds(), GIVEN[name]), INDEX[name]["read"]
    assert len(fact.rows) == len(expected or []) * len(SYSTEM.feeds)
    assert all(row.title.startswith(expected[0]) for row in fact.rows)
    assert bool(fact.gaps) == (expected is None)


@pytest.mark.parametrize("name", cases("error", "html"))
def test_an_error(name: str) -> None:
    """A 404 is an answer: what does not exist is absent, and a gap where params name it."""
    status, expected = INDEX[name]["status"], INDEX[name]["read"]
    asks = [facts.functions(), facts.errors(), *([facts.scores()] if INDEX[name].get("by") != "rest" else [])]
    for ask in [*asks, facts.secrets()] if status == 404 else asks:
        fact = seen(ask, GIVEN[name], status)
        assert not fact.rows
        assert fact.gaps or (status == 404 and fact.name != "secrets")
        gaps = [gap for gap in fact.gaps if status != 404 or fact.name == "secrets"]
        assert all(expected in gap.next and "<" not in gap.why for gap in gaps), gaps
        assert all(INDEX[name].get("says", "") in gap.why for gap in gaps), gaps


@pytest.mark.parametrize("name", cases("token"))
def test_an_answer_of_the_token_server(name: str) -> None:
    given = SimpleNamespace(status=400, data=json.dumps(GIVEN[name]).encode(), headers={})

    class Expired(Credentials):
        def refresh(self, _: Any) -> None:
            super().refresh(lambda **_: given)

    token = Expired(None, refresh_token="x", token_uri="https://x", client_id="x", client_secret="x")
    [gap] = read(facts.functions(), lambda _: (200, {}), token).gaps
    assert INDEX[name]["read"] in gap.next


@pytest.mark.parametrize("name", cases("dry"))
def test_a_dry_run(name: str) -> None:
    dry = ("/jobs", INDEX[name].get("status", 200), GIVEN[name])
    fact = read(facts.scores(), by_path(dry, ("/queries", 200, GIVEN["query_scores"][0])))
    said = [f"absent: {gone}" for gone in fact.absent] + [f"{gap.why} {gap.next}" for gap in fact.gaps]
    assert INDEX[name]["read"] in (said or [f"{len(fact.rows)} rows"])[0]


@pytest.mark.parametrize("name", cases("query"))
def test_a_query(name: str) -> None:
    """The answers are given in their order, each to a request of its kind; the last of a kind stays."""
    left = copy.deepcopy(GIVEN[name])

    def answer(request: requests.PreparedRequest) -> tuple[int, Any]:
        if str(request.method) == "POST" and "/jobs" in str(request.url):
            return 200, GIVEN["dry_select"]
        kind = "job" if "/jobs/" in str(request.url) else "getQueryResultsResponse"
        kind = f"bigquery#{'queryResponse' if request.method == 'POST' else kind}"
        mine = [one for one in left if one["kind"] == kind]
        if len(mine) > 1:
            left.remove(mine[0])
        return 200, mine[0]

    cloud = Cloud(SYSTEM, "sandbox", Answering(answer))
    try:
        found = plain(select(cloud, "SELECT 1", {}, {}))
    except (OverCap, GoogleAPICallError) as error:
        found = type(error).__name__
    assert found == INDEX[name]["read"]


COPY = Change(
    CopyTable(dataset="sales", table="deals", to_dataset="backup", to_table="deals_old", operation="RESTORE"), ""
)
GONE: tuple[int, Any] = (404, {"error": {"code": 404, "message": "Not found: Table p:backup.deals_old"}})


@pytest.mark.parametrize("name", cases("copy"))
def test_a_job_that_was_sent(name: str) -> None:
    place = ("/datasets/", 200, GIVEN["dataset_us"])
    answer = by_path(("/tables/", *GONE), place, ("_1", 200, GIVEN[name]), ("/jobs/", *GONE))
    found = ACTIONS["copy table"].observe(Cloud(SYSTEM, "sandbox", Answering(answer)), COPY)
    state, said = INDEX[name]["read"]
    assert found.state == state
    assert found.said.startswith(said)


@pytest.mark.parametrize("name", cases("dataset"))
def test_where_the_jobs_of_a_dataset_run(name: str) -> None:
    wire = Answering(by_path(("/tables/", *GONE), ("/jobs/", *GONE), ("/datasets/", 200, GIVEN[name])))
    ACTIONS["copy table"].observe(Cloud(SYSTEM, "sandbox", wire), COPY)
    assert re.findall(r"/jobs/\S*location=(\S+)", " ".join(wire.sent)) == [INDEX[name]["read"]]


@pytest.mark.parametrize("found", [{}, {"status": "x"}, {"key": "a"}, [1], [{}], [[]], "text", None, 7])
def test_a_status_page_of_another_form_is_a_gap_and_not_quiet(found: Any) -> None:
    assert len(seen(facts.feeds(), found).gaps) == len(SYSTEM.feeds)


@pytest.mark.parametrize("lost", [{"timestamp": None}, {"timestamp": "noon"}, {"timestamp": "0001-01-01T00:00:00Z"}])
def test_an_entry_without_a_time_is_a_gap(lost: dict[str, Any]) -> None:
    good = GIVEN["log_exit"]
    fact = seen(facts.errors(), {"entries": [good, {**good, **lost, "receiveTimestamp": 5}, None, 7]})
    assert len(fact.rows) == 1
    assert fact.gaps[0].why == "3 of 4 cannot be read"


# --- the whole of the daily check and of P1


class Replay(requests.adapters.BaseAdapter):
    """What the sandbox answered once, again and again, each time through `spoil`."""

    def __init__(self, inner: Any):
        super().__init__()
        self.inner, self.known = inner, dict[str, tuple[int, dict[str, str], bytes]]()
        self.spoil: Callable[[str, Any], tuple[int, Any] | None] = lambda _key, _value: None
        self.done: dict[str, Any] = {}

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        key = f"{request.method} {request.url} {_asked(request)}"
        if key not in self.known:
            made = self.inner.send(request, **options)
            self.known[key] = (made.status_code, dict(made.headers), made.content)
        status, headers, body = self.known[key]
        response = requests.Response()
        response.request, response.url, response.raw = request, str(request.url), None
        response.status_code, response._content = status, body
        response.headers.update(headers)
        if key not in self.done:
            self.done[key] = self.spoil(key, json.loads(body or b"null"))
        return response if self.done[key] is None else _filled(response, *self.done[key])

    def close(self) -> None: ...


def _asked(request: requests.PreparedRequest) -> str:
    """What a request asks, without what is new in each."""
    body = json.loads(request.body or b"{}")
    job = body.get("configuration", {})
    return (
        body.get("filter") or body.get("query") or job.get("query", {}).get("query") or str(body.get("permissions", ""))
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: Any) -> Place:
    here = Place(tmp_path_factory.mktemp("reading"), world="p1_two_causes")
    here.wire = Replay(here.wire)  # type: ignore[assignment]
    both(here, "as it is")
    assert len(here.wire.known) > 20, list(here.wire.known)
    return here


def both(here: Place, what: str) -> dict[str, str]:
    """Run the daily check and P1 as they are; their verdicts. An exception is the fault that this looks for."""
    found = {}
    for runbook in ("daily_check", "p1_response"):
        result = here.run(runbook, show=True)
        if isinstance(result.error, NoCredentials):  # a 401 to the very first call, which is said in one message
            found[runbook] = "refused"
            continue
        if result.error:
            raise AssertionError(f"{runbook} with {what}: {result.error!r}") from result.error
        found[runbook] = json.loads((result.folder / "report.json").read_text())["verdict"]
    return found


def spoilt(here: Place, what: str, spoil: Callable[[str, Any], Any]) -> dict[str, str]:
    here.wire.spoil, here.wire.done = spoil, {}
    return both(here, what)


def _injected(name: str, key: str, value: Any) -> tuple[int, Any] | None:
    """Where a recorded answer stands among the sandbox's own; an error or a page is every answer."""
    kind, given = word(name), GIVEN[name]
    if kind in ("error", "html"):
        return INDEX[name]["status"], given
    listed = LISTS.get(kind, "?")
    entries = "entries:list" in key and kind in ("log", "audit") and ("activity" in key) == (kind == "audit")
    if isinstance(value, dict) and (entries or listed in value):
        return 200, {**value, listed: [*(given if isinstance(given, list) else [given]), *value.get(listed, [])]}
    if kind == "feed" and "status" in urlsplit(key.split()[1]).netloc:
        return 200, given
    if kind == "permissions" and "testIamPermissions" in key:
        return 200, given
    return None


@pytest.mark.parametrize("name", every_of_each(8, word, WHOLE))
def test_a_recorded_answer_in_the_whole(place: Place, name: str) -> None:
    spoilt(place, name, lambda key, value: _injected(name, key, value))


HUGE, DEEP = "x" * 70_000, json.loads("[" * 40 + "]" * 40)
VALUES: list[Any] = [
    None,
    "",
    0,
    -1,
    10**30,
    1e308,
    True,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"a": {"b": []}},
    HUGE,
    "\x00\ud7ff<b>",
    DEEP,
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-03-11T99:00:00Z",
    "limit of 512 KB exceeded with 9 KB used",
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from _places(one, (*path, key))


def damaged(value: Any, chance: random.Random) -> Any:
    """A copy of an answer with something dropped or replaced, somewhere."""
    made = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 2, 5))):
        paths = list(_places(made))
        if not paths or chance.random() < 0.03:
            return chance.choice(VALUES)
        *way, end = chance.choice(paths)
        at = made
        for step in way:
            at = at[step]
        if chance.random() < 0.25:
            del at[end]
        else:
            at[end] = copy.deepcopy(chance.choice(VALUES))
    return made


@pytest.mark.parametrize("seed", every(9, range(100)))
def test_damaged_answers_are_gaps(place: Place, seed: int) -> None:
    """About eight of the answers are damaged each time: hundreds in all, each in its own way."""
    chance = random.Random(seed)
    spoilt(place, f"seed {seed}", lambda _key, value: (200, damaged(value, chance)) if chance.random() < 0.3 else None)


@pytest.mark.parametrize("value", [{"body": "<html><title>Sign in</title>"}, [], "text", None, {}])
def test_answers_of_another_form_are_never_ok(place: Place, value: Any) -> None:
    found = spoilt(place, str(value), lambda _key, _value: (200, value))
    assert not {"ok", "warn"} & set(found.values()), found


# --- errors of the system, changes and limits, in the sandbox's own words

CRASHES = """
runs: [{select: {name: gmail-sync}, since: 90m, kind: exception}]
errors:
  - {select: {name: calendar-sync}, since: 2h, count: 3, payload: stderr, text: "2026-03-11 [INFO] all is well"}
"""


@pytest.mark.parametrize("severity", ["ERROR", "WARNING"])
def test_a_crash_without_a_severity_is_an_error_and_an_info_line_on_stderr_is_none(
    sandbox: Any, told: Any, severity: str
) -> None:
    cloud, moment = sandbox(told(CRASHES))
    fact = observe(facts.errors(severity=severity), cloud, moment)
    assert {r.function for r in fact.rows} == {"gmail-sync"}
    crashed = [r for r in fact.rows if r.severity == "DEFAULT"]
    assert crashed
    assert all(r.text.startswith("KeyError: 'sent_at' Exception on /") for r in crashed)
    line = facts.errors(severity=severity)(cloud, moment).line
    for part in (f"severity>={severity} OR", 'log_id("run.googleapis.com/stderr")', "errorGroups.id:*", "timestamp<="):
        assert part in line


@pytest.fixture
def told(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "world.yaml"
        path.write_text(f"about: a test\nnow: 2026-03-11T13:30:00Z\n{text}", encoding="utf-8")
        return str(path)

    return write


def test_p1_names_the_exception_of_a_crash(told: Any, tmp_path: Path) -> None:
    result = Place(tmp_path / "records", world=told(CRASHES)).run("p1_response")
    assert result.error is None
    [cause] = result.names["page"].causes
    assert cause.functions == ("gmail-sync",)
    assert any("KeyError: 'sent_at'" in said for said in cause.evidence), cause.evidence


def test_a_refused_deployment_is_no_change_and_no_error_of_the_system(sandbox: Any, told: Any) -> None:
    deployed = "revisions: [{select: {name: gmail-sync}, age: 3h, by: ann@acme.example}]\n"
    world = told(deployed + "denied: [{select: {name: gmail-sync}, age: 1h, by: bo@acme.example}]")
    cloud, moment = sandbox(world)
    [change] = observe(facts.changes(), cloud, moment).rows
    assert (change.what, change.who) == ("UpdateFunction", "ann@acme.example")
    [error] = observe(facts.errors(), cloud, moment).rows
    assert (error.function, error.ours) == ("(other)", False)


def _operation(*steps: str, code: int = 0, who: str = "ann@acme.example") -> list[dict[str, Any]]:
    """The entries of one operation, newest first; the code is that of its end."""
    made = []
    for step in steps:
        entry = copy.deepcopy(GIVEN["audit_update"][1])
        entry["operation"] = {"id": "operations/1", step: True}
        entry["protoPayload"]["status"] = {"code": code} if step == "last" and code else {}
        entry["protoPayload"]["authenticationInfo"] = {"principalEmail": who}
        entry["timestamp"] = "2026-03-11T09:30:00Z" if step == "last" else "2026-03-11T09:00:00Z"
        made.append(entry)
    return made


@pytest.mark.parametrize(
    ("entries", "at"),
    [
        (_operation("last", "first"), ["09:00"]),
        (_operation("first"), ["09:00"]),
        (_operation("last"), ["09:30"]),
        (_operation("last", "first", code=3), []),
        (_operation("first", who="service-1@gcf-admin-robot.iam.gserviceaccount.com"), []),
        (_operation("first", who="service-1@serverless-robot-prod.iam.gserviceaccount.com"), []),
        (_operation("first", who="deploy@acme.iam.gserviceaccount.com"), ["09:00"]),
    ],
)
def test_a_long_running_operation_is_one_change(entries: list[Any], at: list[str]) -> None:
    fact = seen(facts.changes(), {"entries": entries})
    assert [f"{r.at.astimezone(UTC):%H:%M}" for r in fact.rows] == at


@pytest.mark.parametrize(
    ("url", "function"),
    [
        ("https://us-central1-acme.cloudfunctions.net/run_report", "run_report"),
        ("https://us-central1-acme.cloudfunctions.net/run_report/daily?x=1", "run_report"),
        ("https://gmail-sync-a1b2c3d4e5-uc.a.run.app/", "gmail-sync"),
        ("https://gmail-sync-123456789012.us-central1.run.app", "gmail-sync"),
        ("https://test---gmail-sync-a1b2c3d4e5-uc.a.run.app/x", "gmail-sync"),
        ("https://api.acme.example/run", "nightly"),
        ("http://[", "nightly"),
        ("", "nightly"),
    ],
)
def test_the_function_of_a_scheduler_entry_is_its_target(url: str, function: str) -> None:
    entry = copy.deepcopy(GIVEN["log_scheduler_failed"])
    entry["jsonPayload"] |= {"url": url, "jobName": "projects/p/locations/l/jobs/nightly"}
    [row] = seen(facts.errors(), {"entries": [entry]}).rows
    assert row.function == function


def test_a_query_over_the_cost_cap_is_a_gap_and_the_rest_goes_on(sandbox: Any) -> None:
    cloud, moment = sandbox()
    cloud.settings = cloud.settings.model_copy(update={"cost_cap_gib": 1e-8})
    for ask in (facts.etl_today(), facts.freshness(), facts.recent_runs()):
        fact = observe(ask, cloud, moment)
        assert not fact.rows
        assert all("more than the cost cap" in g.why and "raise cost_cap_gib" in g.next for g in fact.gaps)
        assert fact.gaps
