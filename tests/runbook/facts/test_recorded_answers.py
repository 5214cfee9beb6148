"""Reading is total (R1): answers in recorded shapes, and hundreds of damaged ones, are rows or gaps and never an error.

`tests/real` has one file for each shape, and what is the right reading of it. Damaged answers go through the whole of
the daily check and of P1: the notebooks' own cells, in this process.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from runbook import facts
from runbook.cloud.client import Cloud
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.model.errors import NoCredentials
from runbook.model.moment import Moment
from tests.conformance.test_guard import Wire
from tests.runbook.changes import Place
from tests.slices import every

REAL = Path(__file__).parents[2] / "real"
INDEX: dict[str, dict[str, Any]] = yaml.safe_load((REAL / "index.yaml").read_text(encoding="utf-8"))
GIVEN = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(REAL.glob("*.json"))}
NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
SYSTEM = load_settings("sandbox")
LISTS = {"log": "entries", "audit": "entries", "function": "functions", "job": "jobs", "version": "versions"}


def test_every_answer_is_in_the_index() -> None:
    assert set(INDEX) == set(GIVEN)
    assert {one["kind"] for one in INDEX.values()} <= {"recorded", "trimmed", "documentation"}


class Answering(Wire):
    """Answers every request with one JSON value, or with a page."""

    def __init__(self, value: Any, status: int = 200):
        super().__init__(value)
        self.status = status

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        response = super().send(request, **more)
        return _filled(response, self.status, self.answer)


def _filled(response: requests.Response, status: int, value: Any) -> requests.Response:
    page = isinstance(value, dict) and isinstance(value.get("body"), str) and "<" in value["body"]
    text = value["body"] if page else json.dumps(value)
    response.status_code, response._content = status, text.encode()
    response.headers["Content-Type"] = "text/html" if page else "application/json"
    response.headers["Date"] = "Wed, 11 Mar 2026 13:30:00 GMT"
    return response


def seen(ask: Any, value: Any, status: int = 200) -> Any:
    """The fact that is read where every answer is this one."""
    cloud = Cloud(SYSTEM, "sandbox", Answering(value, status))
    return observe(ask, cloud, Moment(NOW, SYSTEM.zone))


def names(kind: str) -> list[str]:
    return [name for name in INDEX if name.partition("_")[0] == kind]


@pytest.mark.parametrize("name", names("log"))
def test_a_log_entry(name: str) -> None:
    [row] = seen(facts.errors(), {"entries": [GIVEN[name]]}).rows
    function, severity, text, ours = INDEX[name]["read"]
    assert (row.function, row.severity, row.ours) == (function, severity, ours)
    assert row.text.startswith(text)


@pytest.mark.parametrize("name", names("audit"))
def test_an_audit_entry(name: str) -> None:
    entries = GIVEN[name] if isinstance(GIVEN[name], list) else [GIVEN[name]]
    fact, expected = seen(facts.changes(), {"entries": entries}), INDEX[name]["read"]
    assert [[r.who, r.what, r.resource] for r in fact.rows] == (expected or [])
    assert bool(fact.gaps) == (expected is None)


@pytest.mark.parametrize(
    ("name", "ask", "key"),
    [
        *((name, facts.functions(), "functions") for name in names("function")),
        *((name, facts.jobs(), "jobs") for name in names("job")),
        *((name, facts.versions("x"), "versions") for name in names("version")),
        *((name, facts.service("x"), "") for name in names("service")),
        *((name, facts.tables(), "tables") for name in names("table")),
    ],
)
def test_a_resource(name: str, ask: Any, key: str) -> None:
    value = GIVEN[name]
    found, expected = seen(ask, {key: [value], **value} if key else value).rows, INDEX[name]["read"]
    assert [{k: getattr(row, k) for k in expected or ()} for row in found] == ([expected] if expected else [])


@pytest.mark.parametrize("name", names("feed"))
def test_a_status_page(name: str) -> None:
    fact, expected = seen(facts.feeds(), GIVEN[name]), INDEX[name]["read"]
    assert len(fact.rows) == len(expected or []) * len(SYSTEM.feeds)
    assert all(row.title.startswith(expected[0]) for row in fact.rows)
    assert bool(fact.gaps) == (expected is None)


@pytest.mark.parametrize("name", [*names("error"), *names("html")])
def test_an_error(name: str) -> None:
    status, expected = INDEX[name]["status"], INDEX[name]["read"]
    for ask in (facts.functions(), facts.errors(), facts.scores()):
        fact = seen(ask, GIVEN[name], status)
        assert not fact.rows
        assert fact.gaps or status == 404
        assert all(expected in g.next and "<" not in g.why for g in fact.gaps), fact.gaps


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
    kind, given = name.partition("_")[0], GIVEN[name]
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


@pytest.mark.parametrize("name", INDEX)
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


@pytest.mark.parametrize("seed", every(4, range(100)))
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
