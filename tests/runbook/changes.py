"""One runbook in this process, without a kernel: its notebook's own code cells, against a sandbox that lasts.

    place = Place(tmp_path / "records", world="healthy")
    first = place.run("rollback", reason="…")          # start → … → close, as the notebook does it
    place.approve(first.id)
    second = place.run("rollback", reason="…", approved_plan=first.id)

`place.wire` is what the runs talk through: it notes every request, and a `fault` of the test stands between.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Lock, RLock
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import requests
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg

import gcp_sandbox
from gcp_sandbox.app import App
from gcp_sandbox.faults import Faults
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.world.schema import Fault
from runbook.apply.attempts import IN_FLIGHT_S, last_row
from runbook.approvals import signed
from runbook.approvals.signers import signers_of
from runbook.approvals.stored_plan import find
from runbook.charts import base, daily, incident
from runbook.cli.main import main
from runbook.cloud import connect
from runbook.cloud.client import Cloud
from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.parameters import cell_source, load_notebook
from runbook.context import KERNEL, Told
from runbook.facts.checkout import source_code
from runbook.model.errors import RunbookError
from runbook.model.outcome import Outcome
from runbook.model.plan import Change
from runbook.records.files import json_of
from runbook.records.record import begin, finish, read_report
from runbook.records.store import Store

GOOGLE_DOWN = "http://127.0.0.1:9"  # nobody listens there
REQUESTER = "casey"  # who plans and applies; avery and blake sign
# Everything that writes, with parameters that plan something in the healthy world.
CHANGING: dict[str, dict[str, Any]] = {
    "deploy": {"memory": "1Gi", "source": "sample"},
    "rollback": {},
    "rotate_secret": {},
    "retire_secret": {},
    "backup": {"tables": "sf_accounts,gmail_messages"},
    "restore": {},
    "schema_change": {},
    "retry": {},
    "scheduler": {"jobs": "gmail-sync,calendar-sync"},
}


def _by_content(look: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The same for the same files, wherever they are: what is deployed is unpacked anew each time."""
    known: dict[object, Any] = {}

    def looked(folder: Path) -> Any:
        files = tuple(sorted((str(p.relative_to(folder)), p.read_bytes()) for p in folder.rglob("*") if p.is_file()))
        if files not in known:
            known[files] = look(folder)
        return known[files]

    return looked


LOOKS = {name: getattr(source_code, name) for name in ("inspect_source", "archive", "run_tests", "leaks")}
LOOKED_AT_ONCE = {  # of `source_code`, for tests that plan a deployment often: a source's own tests take a second
    **{name: cache(LOOKS[name]) for name in ("inspect_source", "archive")},
    **{name: _by_content(LOOKS[name]) for name in ("run_tests", "leaks")},
}
SECRET = b's3cret-Value/of+the=new "version"'


def _draw(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A chart of the same title, numbers and form is drawn once: nobody looks at its picture here."""
    known: dict[str, Any] = {}

    def drawn(title: str, fact: Any, rows: Any, paint: Any, *form: Any, **named: Any) -> Any:
        key = repr((title, bool(fact.gaps), rows, form, named))
        if key not in known:
            known[key] = draw(title, fact, rows, paint, *form, **named)
        return replace(known[key], rows=rows)

    return drawn


DRAWN_ONCE = _draw(base.chart)
DRAWING = (daily, incident)


class Died(BaseException):
    """The process ends here: nothing catches this."""


@dataclass(frozen=True)
class Sent:
    """One request. `write` is whether the door had to be opened for it."""

    method: str
    host: str
    path: str
    body: bytes
    write: bool

    @property
    def line(self) -> str:
        return f"{self.method} {self.host}{self.path}"


Next = Callable[[], requests.Response]
Wired = Callable[["Wire", int, Sent, Next], requests.Response]


class Wire(InProcess):
    """The transport of every run of a place; `fault` may answer, fail, or let a request through."""

    def __init__(self, app: App):
        super().__init__(app)
        self.seen: list[Sent] = []
        self.fault: Wired | None = None
        self.lock = Lock()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        url, body = urlsplit(str(request.url)), request.body or b""
        body = body.encode() if isinstance(body, str) else body
        sent = Sent(str(request.method), url.netloc, url.path, body, _writes(str(request.method), url.path, body))
        with self.lock:
            self.seen.append(sent)
            number = len(self.seen)
        if self.fault is None:
            return super().send(request, **options)
        return self.fault(self, number, sent, lambda: super(Wire, self).send(request, **options))

    @contextmanager
    def app_fails(self, **fault: Any) -> Iterator[None]:
        """For one request the sandbox itself fails, as a world's fault says."""
        sandbox = self.app.sandbox
        before, sandbox.faults = sandbox.faults, Faults([Fault(**fault)])
        try:
            yield
        finally:
            sandbox.faults = before

    @property
    def writes(self) -> list[Sent]:
        return [sent for sent in self.seen if sent.write]


def _writes(method: str, path: str, body: bytes) -> bool:
    """Whether a request is none of the reads, told without the door's own list."""
    if method == "GET":
        return False
    if path.endswith((":testIamPermissions", "entries:list")) or path.endswith("/queries"):
        return False
    return not (path.endswith("/jobs") and "/bigquery/" in path and b'"dryRun": true' in body)


@dataclass
class Result:
    """What one run left: what each name of the notebook is, and the exception that ended it, if one did."""

    names: dict[str, Any]
    error: BaseException | None
    shown: str

    @property
    def outcome(self) -> Outcome:
        return self.names["outcome"]

    @property
    def id(self) -> str:
        return self.names["plan"].id

    @property
    def folder(self) -> Path:
        return self.names["run"].folder


class Serial:
    """A pool of one: requests come in the same order every time."""

    def __init__(self, max_workers: int = 1):
        pass

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, do: Callable[..., Any], *items: Any) -> Iterator[Any]:
        return map(do, *items)


@dataclass
class Place:
    """A records folder, and a sandbox that all its runs share."""

    records: Path
    world: str = "healthy"
    app: App = None  # type: ignore[assignment]
    wire: Wire = field(init=False)

    @property
    def folder(self) -> Path:
        """The directory of the store: the sandbox's records are rehearsals."""
        return self.records / "rehearsal" / "sandbox"

    @property
    def store(self) -> Store:
        return Store(self.folder)

    def newest(self) -> dict[str, Any]:
        """The newest row of the attempt that has the lock, or its lock; {} if there was none."""
        store = self.store
        for lock in [json_of(store.read(name)) for name in store.children("lock")[-1:]]:
            row = last_row(store, lock["attempt"])
            return row if row.get("row", 0) > lock.get("rows", 0) else lock
        return {}

    def owner(self) -> str:
        """The owner of the newest attempt, as a refusal names it."""
        return self.newest()["owner"]

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """While inside, runs take over the attempt of a process that died; without one, they are as always."""
        with self.takeover() if self.newest().get("kind", "CLOSE") != "CLOSE" else nullcontext():
            yield

    @contextmanager
    def takeover(self, abandon: bool = False) -> Iterator[None]:
        """While inside, runs continue the newest attempt, whose process is dead; nothing of it is still on the way."""
        told = Told(**{"abandon" if abandon else "takeover": self.owner()})
        with patch.object(KERNEL, "told", told), patch("runbook.apply.attempts.MARGIN_S", -IN_FLIGHT_S):
            yield

    def __post_init__(self) -> None:
        self.app = self.app or gcp_sandbox.app(load_settings("sandbox").inventory(), self.world)
        self.wire = Wire(self.app)

    @contextmanager
    def here(self) -> Iterator[None]:
        """While inside, whatever connects to the sandbox gets this one, and records go to this folder."""

        def in_process(system: Any, _world: str) -> Cloud:
            return Cloud(system, "sandbox", self.wire, world="a test's")

        environment = {"RUNBOOK_RECORDS": str(self.records), "RUNBOOK_PERSON": REQUESTER}
        pools = (
            patch("runbook.facts.base.ThreadPoolExecutor", Serial),
            patch("concurrent.futures.ThreadPoolExecutor", Serial),
        )
        # A source's own tests take a second: they run once, unless a test replaced them. What is a checkout may change.
        looks = {
            name: LOOKED_AT_ONCE[name] for name in ("run_tests", "leaks") if getattr(source_code, name) is LOOKS[name]
        }
        # Charts are drawn, but for their pictures' bytes: nobody looks at them here, and they cost more than all the rest.
        pixels = patch.object(FigureCanvasAgg, "print_png", lambda _canvas, file, **_: file.write(b"a picture"))
        with ExitStack() as stack:
            for one in (
                patch.dict(os.environ, environment),
                patch.object(connect, "_in_process", in_process),
                *(patch.object(module, "chart", DRAWN_ONCE) for module in DRAWING if module.chart is base.chart),
                *(patch.object(source_code, name, look) for name, look in looks.items()),
                *pools,
                pixels,
            ):
                stack.enter_context(one)
            yield

    def run(self, runbook: str, show: bool = False, until: str = "", **given: Any) -> Result:
        """Execute the notebook's code cells with these parameters; an exception ends it and is kept.

        `show` draws what each cell would show; `until` stops before the cell that contains this text.
        """
        with self.here():
            return execute(runbook, given, show, until)

    def plan(self, runbook: str, **given: Any) -> Result:
        """A run that plans, and shows that it worked."""
        result = self.run(runbook, **given)
        assert result.error is None
        assert result.outcome.result == "planned", result.outcome.said
        return result

    def approve(self, plan: str) -> None:
        """Everybody whom the plan needs signs it, with a reason not to wait for the preferred time."""
        with self.here():
            found = find(plan)
            for role in found.system.operations[found.content["operation"]].signers:
                found.sign(role, "looks right", None, None, "it cannot wait")

    def open(self, incident: str, severity: str = "P1", hours: int = 4) -> signed.Opening:
        """Somebody on call states that it is a P1."""
        with self.here():
            system, now = load_settings("sandbox"), self.app.sandbox.now
            who, key = signed.identity(system, "sandbox", signed.ON_CALL, None, None)
            values = signed.values_of(system, "sandbox", who, signed.ON_CALL, "everything is down", now)
            until = signed.utc_text(now + timedelta(hours=hours))
            values |= {"incident": incident, "severity": severity, "until": until}
            return signed.put(signed.Opening, values, signed.store_of(system), signers_of(system, "sandbox"), key, now)

    def cli(self, *words: str) -> Any:
        """What a command of `runbook` says here."""
        with self.here():
            return CliRunner().invoke(main, words)

    def go(self, runbook: str, plan: str, **given: Any) -> Result:
        """Apply a plan by its id; one that nobody has to sign with `apply`."""
        return self.run(runbook, **given, **({"apply": True} if runbook == "backup" else {"approved_plan": plan}))

    def record(self, done: Result) -> str:
        """Make a record of a run as the runner does, and return its name."""
        with self.here():
            request, report = done.names["run"].request, read_report(done.folder)
            marker = begin(done.folder, request)
            (done.folder / f"{request.runbook}.ipynb").write_text('{"cells": []}')
            finish(done.folder, marker, report, status="finished", why="all cells ran", exit=0, cells=[])
        return done.folder.name

    def applied(self, runbook: str, **given: Any) -> Result:
        """Plan, approve, apply: the usual way, which must work."""
        first = self.plan(runbook, **given)
        self.approve(first.id)
        second = self.go(runbook, first.id, **given)
        assert second.error is None
        assert second.outcome.result == "applied", (second.outcome.result, second.outcome.said)
        return second


def execute(runbook: str, given: Mapping[str, Any], show: bool = False, until: str = "") -> Result:
    """See `Place.run`; this is in whatever place the process is."""
    names: dict[str, Any] = {"__name__": "__main__"}
    shown: list[str] = []
    for number, text in enumerate(cells(runbook)):
        if until and until in text:
            break
        try:
            value = _execute(runbook, number, names)
            if show and hasattr(value, "_repr_mimebundle_"):
                shown += map(str, value._repr_mimebundle_().values())
        except (Exception, Died) as error:  # noqa: BLE001 - a test looks at it
            return Result(names, error, "".join(shown))
        if number == 1:  # after the cell of the answer: the parameters
            assert set(given) <= set(names), f"{runbook} has no parameters {set(given) - set(names)}"
            names.update(given)
    return Result(names, None, "".join(shown))


@cache
def cells(runbook: str) -> list[str]:
    """The code cells of a notebook: that of the answer, that of the parameters, and the rest."""
    found = [c for c in load_notebook(RUNBOOKS / f"{runbook}.ipynb")["cells"] if c["cell_type"] == "code"]
    assert "parameters" in found[1]["metadata"]["tags"]
    return [cell_source(cell) for cell in found]


@cache
def _compiled(runbook: str, number: int) -> tuple[Any, Any]:
    """A cell's statements, and the expression that it ends with, if it does."""
    tree, name = ast.parse(cells(runbook)[number]), f"{runbook}.ipynb, code cell {number + 1}"
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    end = compile(ast.Expression(last.value), name, "eval") if isinstance(last, ast.Expr) else None
    return compile(tree, name, "exec"), end


def _execute(runbook: str, number: int, names: dict[str, Any]) -> Any:
    statements, end = _compiled(runbook, number)
    exec(statements, names)
    return eval(end, names) if end else None


class Snapshot:
    """A sandbox that can be had again and again as it was: its state is copied, its DuckDB rolled back."""

    def __init__(self, app: App):
        sandbox = app.sandbox
        _ = sandbox.log, sandbox.functions, sandbox.services, sandbox.jobs, sandbox.secrets, sandbox.uploads
        self.app, self.connection = app, sandbox.bigquery.catalog.con

    @contextmanager
    def again(self) -> Iterator[App]:
        """The app as it was when this snapshot was made; one at a time."""
        sandbox = self.app.sandbox
        kept = (self.connection, sandbox.story, sandbox.world, sandbox.inventory, sandbox.faults.lock)
        memo: dict[int, Any] = {id(thing): thing for thing in kept}
        memo[id(sandbox.log.entries)] = list(sandbox.log.entries)
        fresh = App.__new__(App)
        fresh.__dict__.update(self.app.__dict__, sandbox=copy.deepcopy(sandbox, memo), lock=RLock())
        self.connection.execute("BEGIN")
        try:
            yield fresh
        finally:
            self.connection.execute("ROLLBACK")


# --- What is true, asked of the sandbox itself and not through the code that is tested


def side(app: App, change: Change, runs: int) -> str:  # noqa: C901 - one branch an action
    """On which side of a change the sandbox is: `old`, `new`, `moving`, `failed`, or "twice" where it came twice.

    `runs` is how many runs the change's function had before.
    """
    sandbox, at = app.sandbox, change.args
    old, new = getattr(at, "before", None), getattr(at, "after", None)
    if change.action == "route traffic":
        service = sandbox.services.services[at.service]
        now = [
            {t.get("revision") or "latest": t["percent"] for t in service[key]}
            for key in ("traffic", "trafficStatuses")
        ]
        return "moving" if service["reconciling"] else _side(now, [new, new], [old] * 2)
    if change.action == "update function":
        return _side_of_function(app, at.function, new, old)
    if change.action == "run once":
        return {0: "old", 1: "new"}.get(runs_of(app, at.function) - runs, "twice")
    if change.action == "set job state":
        return _side(sandbox.jobs.jobs[at.job]["state"], new, old)
    if change.action == "add secret version":
        count = len(sandbox.secrets.versions[at.secret])
        return "twice" if count > new else _side(count, new, old)
    if change.action == "set version state":
        return _side(sandbox.secrets.version(at.secret, str(at.version))["state"], new, old)
    if change.action == "start with new secret":
        service = sandbox.services.services[at.service]
        if service["reconciling"]:
            return "moving"
        marks = [r.get("annotations", {}).get("runbook/secret-version") for r in sandbox.services.revisions[at.service]]
        return {0: "old", 1: "new"}.get(marks.count(at.mark), "twice")
    if change.action == "notify":  # better twice than never, and nothing waits for it
        return "new" if [m for m in sandbox.messages if m["to"] == change.resource] else "old"
    if change.action == "copy table":
        return "new" if (at.to_dataset, at.to_table) in sandbox.bigquery.catalog.tables else "old"
    assert change.action == "add column"
    columns = sandbox.bigquery.catalog.tables[at.dataset, at.table].column_names
    return "new" if at.column in columns else "old"


def _side_of_function(app: App, name: str, new: dict[str, Any], old: Any) -> str:
    found = app.sandbox.functions.functions[name]
    now = {
        "source": found["labels"].get("runbook-source", ""),
        "runtime": found["buildConfig"]["runtime"],
        "entry_point": found["buildConfig"]["entryPoint"],
        "memory": found["serviceConfig"]["availableMemory"],
        "timeout_s": found["serviceConfig"]["timeoutSeconds"],
    }
    moving = any(o.resource.endswith(f"/functions/{name}") and not o.ended for o in _operations(app))
    return "moving" if moving else _side({key: now[key] for key in new}, new, old)


def _operations(app: App) -> Any:
    return app.sandbox.operations.known.values()


def _side(now: Any, new: Any, old: Any) -> str:
    return "new" if now == new else "old" if now == old else f"other: {now}"


def runs_of(app: App, function: str) -> int:
    """How many runs there are of the functions whose name is LIKE this one."""
    catalog = app.sandbox.bigquery.catalog
    table = catalog.tables[catalog.datasets[0], "etl_runs"].name
    return catalog.con.execute(f"SELECT count(*) FROM {table} WHERE function_name LIKE ?", [function]).fetchall()[0][0]


def things(app: App) -> dict[str, Any]:
    """Everything that a change could have made or switched, without times: equal if and only if nothing changed."""
    sandbox = app.sandbox
    catalog = sandbox.bigquery.catalog
    return {
        "traffic": {name: (s["traffic"], s["trafficStatuses"]) for name, s in sandbox.services.services.items()},
        "revisions": {name: len(found) for name, found in sandbox.services.revisions.items()},
        "functions": {
            name: (f["state"], f["labels"], f["buildConfig"], f["serviceConfig"])
            for name, f in sandbox.functions.functions.items()
        },
        "versions": {name: [v["state"] for v in found] for name, found in sandbox.secrets.versions.items()},
        "jobs": {name: job["state"] for name, job in sandbox.jobs.jobs.items()},
        "tables": {key: (t.kind, t.column_names) for key, t in catalog.tables.items()},
        "runs": runs_of(app, "%") if ("sales_intelligence", "etl_runs") in catalog.tables else 0,
        "operations": [o.name for o in _operations(app) if not o.ended],
    }


def error_of(result: Result) -> str:
    """The error of a run in one line, for a test's message."""
    error = result.error
    return (
        "" if error is None else f"{type(error).__name__}: {error.what if isinstance(error, RunbookError) else error}"
    )


def failing(when: Callable[[Sent], bool], **fault: Any) -> Wired:
    """A wire's fault: the sandbox fails these requests, as a world's fault says."""

    def at_each(wire: Wire, _number: int, sent: Sent, go: Next) -> requests.Response:
        with wire.app_fails(**fault) if when(sent) else nullcontext():
            return go()

    return at_each


def someone(app: App, method: str, url: str, body: Any = None) -> dict[str, Any]:
    """A request by somebody who uses no runbook."""
    session = requests.Session()
    session.mount("https://", InProcess(app))
    answer = session.request(method, url, json=body)
    assert answer.ok, answer.text
    return answer.json()


if __name__ == "__main__":  # a process of its own, for tests that end it
    ran = execute(sys.argv[1], json.loads(sys.argv[2]))
    sys.exit(
        0 if ran.error is None and ran.outcome.result == "applied" else f"{error_of(ran)} {ran.names.get('outcome')}"
    )
