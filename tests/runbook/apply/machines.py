"""Runs whose record store is a bucket of their sandbox: in this process, and as processes that a test stops and kills.

made = prepare("rotate_secret", folder)              planned and approved, as often as you like from there
with made.place(folder / "case") as here:            a `Remote`; `here.to_store` is the way to the store
    with Machine(here, made, folder / "one") as one:
        one.start(); one.reached(step); one.wake(); one.ended()
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from matplotlib.backends.backend_agg import FigureCanvasAgg
from werkzeug.test import run_wsgi_app

from gcp_sandbox.app import App
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.serve import serve
from runbook.apply import attempts
from runbook.cloud.bucket import Bucket, RecordGuard, bucket_at
from runbook.context import KERNEL, Told
from runbook.records.files import json_of
from runbook.records.store import Store
from tests.kernels import FORKS
from tests.runbook.apply.test_fault_sweep import GIVEN, QUIET, WORLDS, Prepared, fast
from tests.runbook.changes import REQUESTER, Place, Result, Sent, Snapshot, Wire, _writes, error_of, execute, runs_of

BUCKET = "acme-sales-sandbox-runbooks"
RECORDS = f"gs://{BUCKET}/records"
STORE = f"{RECORDS}/rehearsal/sandbox"
HOST = "storage.googleapis.com"


def to_store(sent: Sent) -> bool:
    """Whether a request is one to the record store."""
    return sent.host == HOST and sent.method != "PUT"


def sent_of(method: str, host: str, path: str, query: str, body: bytes) -> Sent:
    """A request; for one to the store, `path` is the object's name or the prefix that is listed, and a create is a write."""
    if host != HOST or "/storage/v1/" not in path:  # to an upload address of Cloud Storage goes a function's source
        return Sent(method, host, path, body, _writes(method, path, body))
    asked = parse_qs(query)
    name = (asked.get("name") or asked.get("prefix") or [unquote(path.partition("/o/")[2])])[0]
    return Sent(method, host, name.removeprefix(f"{STORE.removeprefix(f'gs://{BUCKET}/')}/"), body, method == "POST")


class ToStore(Wire):
    """The way to the store: notes every request; a `fault` of the test stands between."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        url, body = urlsplit(str(request.url)), request.body or b""
        body = body.encode() if isinstance(body, str) else body
        sent = sent_of(str(request.method), url.netloc, url.path, url.query, body)
        self.seen.append(sent)
        if self.fault is None:
            return InProcess.send(self, request, **options)
        return self.fault(self, len(self.seen), sent, lambda: InProcess.send(self, request, **options))


@dataclass
class Remote(Place):
    """A place whose store is in a bucket of its sandbox; `records` is the local folder."""

    to_store: ToStore = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.to_store = ToStore(self.app)

    @property
    def store(self) -> Store:
        bucket = Bucket(STORE)
        guard = RecordGuard(InProcess(self.app), bucket.bucket, bucket.prefix)
        bucket.__dict__["session"] = guard.mounted(requests.Session())
        return Store(bucket, shared=True)

    @contextmanager
    def here(self) -> Iterator[None]:
        """As in `Place`, and what connects to Cloud Storage gets this one."""
        more = {"RUNBOOK_RECORDS": RECORDS, "RUNBOOK_LOCAL": str(self.records), "STORAGE_EMULATOR_HOST": "the sandbox"}
        bucket_at.cache_clear()  # another place's session
        way = patch("runbook.cloud.transports.Loopback", lambda _: self.to_store)
        with super().here(), patch.dict(os.environ, more), way:
            yield

    def put(self, name: str, content: bytes) -> None:
        """Somebody else creates an object of the store."""
        self.app.sandbox.storage.write(BUCKET, f"records/rehearsal/sandbox/{name}", content, {"contentType": ""})

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the newest attempt that has the lock."""
        store = self.store
        (lock,) = store.children("lock")[-1:]
        return [json_of(store.read(name)) for name in store.children(json_of(store.read(lock))["attempt"])]


@dataclass
class Stored(Prepared):
    """A runbook that was planned and approved; the store is in its snapshot. `total`: all requests of its apply."""

    total: int = 0

    @contextmanager
    def place(self, folder: Path) -> Iterator[Remote]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.records, folder / "local")
        with self.snapshot.again() as app, patch.dict(os.environ, XDG_STATE_HOME=str(folder / "state")):
            yield Remote(folder / "local", app=app)

    def go(self, place: Remote, wrong: Any = None) -> Result:  # type: ignore[override]
        place.to_store.seen.clear()
        place.wire.seen.clear()
        place.to_store.fault = wrong
        try:
            return place.go(self.name.split()[0], self.id, **GIVEN[self.name])
        finally:
            place.to_store.fault = None

    def given(self) -> dict[str, Any]:
        return GIVEN[self.name] | ({"apply": True} if self.name == "backup" else {"approved_plan": self.id})


def prepare(name: str, folder: Path, approved: bool = True) -> Stored:
    """Plan a runbook, approve it, and apply it once without a fault, to know its requests to the store."""
    folder.mkdir(parents=True, exist_ok=True)
    world = folder / "world.yaml"
    world.write_text(WORLDS.get(name, QUIET), encoding="utf-8")
    place = Remote(folder / "records", str(world))
    if not approved:
        place.run(name.split()[0], until="run.plan", **GIVEN[name])  # makes what is made once
        return Stored(name, "", (), place.records, Snapshot(place.app), {}, [])
    first = place.plan(name.split()[0], **GIVEN[name])
    place.approve(first.id)
    changes = tuple(c for c in first.names["plan"].changes if not c.optional)
    runs = {n: runs_of(place.app, n) for c in changes if (n := getattr(c.args, "function", ""))}
    made = Stored(name, first.id, changes, place.records, Snapshot(place.app), runs, [])
    with made.place(folder / "case") as clean:
        assert set(made.sides(clean)) == {"old"}
        done = made.go(clean)
        assert (error_of(done), done.outcome.result) == ("", "applied")
        assert set(made.sides(clean)) == {"new"}
        made.requests[:] = clean.to_store.seen
        made.total = len(clean.to_store.seen) + len(clean.wire.seen)
    return made


# --- A process of its own: a fresh Python that has imported this once; each machine is a fork of it


def until(met: Callable[[], Any], what: str, limit: float = 60) -> Any:
    """Wait until something is so: a row in the store, a request, the state of a process."""
    end = time.monotonic() + limit
    while not (found := met()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.002)
    return found


def state_of(pid: int) -> str:
    """The state of a process: R, S, T for stopped, Z, or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def runs(folder: Path, env: dict[str, str], name: str, given: dict[str, Any], word: dict[str, str], waits: Any) -> None:
    """What a machine does: as `python -m tests.runbook.changes`; what it says is in `said.json`, if it comes to that."""
    os.environ.update(env)
    pixels = patch.object(FigureCanvasAgg, "print_png", lambda _canvas, file, **_: file.write(b"a picture"))
    rule = patch.multiple(attempts, IN_FLIGHT_S=waits[0], MARGIN_S=waits[1])
    with fast(folder), patch.object(KERNEL, "told", Told(**word)), rule, pixels:
        ran = execute(name, given)
    outcome = ran.names.get("outcome")
    said = {
        "error": error_of(ran),
        "result": outcome.result if outcome else "",
        "said": outcome.said if outcome else "",
    }
    said |= {"next": outcome.next if outcome else [], "folder": str(ran.folder)}
    (folder / "said.json").write_text(json.dumps(said), encoding="utf-8")


@dataclass
class Machine:
    """One process that applies, with a home, a memory, a local folder, and a way to the sandbox of its own.

    `at` says at which of its requests (`Sent`, and how many creates and writes there were) and whether before or after
    its execution `then` happens. Requests are noted in `seen`, with the time when each was answered.
    """

    place: Remote
    made: Stored
    folder: Path
    waits: tuple[float, float] = (0.5, 0.25)
    at: Callable[[Sent, int], str] = lambda sent, step: ""
    then: Callable[[Machine], None] = lambda machine: machine.stop()
    seen: list[tuple[float, Sent]] = field(default_factory=list)
    steps: int = 0
    when: str = ""
    met: int = -1  # how many requests it had sent when `then` happened
    reached: Event = field(default_factory=Event)
    going: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    busy: int = 0
    process: Any = None

    def __enter__(self) -> Machine:
        self.sandbox: App = self.place.app.sandbox
        self.served = serve(self).__enter__()
        self.folder.mkdir(parents=True)
        known = self.place.records / "rehearsal" / "approvers"  # as everybody has the same params
        if known.exists():
            shutil.copytree(known, self.folder / "local" / "rehearsal" / "approvers")
        return self

    def __exit__(self, *_: object) -> None:
        self.going.set()
        if self.process is not None and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.join()
        self.served.__exit__()

    def start(self, **word: str) -> Machine:
        """Begin to apply; with `takeover` or `abandon`, what an owner began."""
        own = {name: str(self.folder / sub) for name, sub in (("HOME", "home"), ("XDG_STATE_HOME", "state"))}
        env = {
            **own,
            "RUNBOOK_PERSON": REQUESTER,
            "RUNBOOK_RECORDS": RECORDS,
            "RUNBOOK_LOCAL": str(self.folder / "local"),
            "RUNBOOK_SANDBOX": self.served.url,
            "STORAGE_EMULATOR_HOST": self.served.url,
        }
        given = self.made.name.split()[0], self.made.given(), word, self.waits
        self.process = FORKS.Process(target=runs, args=(self.folder, env, *given))
        self.process.start()
        return self

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """The way to the sandbox."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        about = (environ["REQUEST_METHOD"], environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"])
        sent = sent_of(*about, body)
        with self.lock:
            self.busy += 1
            self.steps += sent.write
            when = self.at(sent, self.steps) if self.met < 0 else ""
        try:
            if when == "before":
                self._then(when)
            parts, status, headers = run_wsgi_app(self.place.app, environ, buffered=True)
            with self.lock:
                self.seen.append((time.monotonic(), sent))
            if when == "after":
                self._then(when)
        finally:
            with self.lock:
                self.busy -= 1
        start_response(status, list(headers))
        return parts

    def _then(self, when: str) -> None:
        self.met, self.when = len(self.seen), when
        self.then(self)

    def stop(self) -> None:
        """Stop the process; a request that was not executed yet waits until it goes on."""
        pid = until(lambda: self.process and self.process.pid, "the process")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state_of(pid) == "T", "it stops")
        self.reached.set()
        if self.when == "before":
            assert self.going.wait(60)

    def hold(self) -> None:
        """The process is let alone; only this request waits."""
        self.reached.set()
        assert self.going.wait(60)

    def kill(self) -> None:
        """The process is killed, whatever it does."""
        pid = until(lambda: self.process and self.process.pid, "the process")
        os.kill(pid, signal.SIGKILL)
        until(lambda: state_of(pid) in ("", "Z"), "it ends")
        self.reached.set()

    def wake(self) -> None:
        self.going.set()
        os.kill(self.process.pid, signal.SIGCONT)

    def ended(self) -> dict[str, Any]:
        """What it said at its end; {} if it was killed."""
        self.process.join(60)
        assert self.process.exitcode is not None, "it does not end"
        until(lambda: not self.busy, "its requests")
        return json_of((self.folder / "said.json").read_bytes()) if (self.folder / "said.json").exists() else {}

    def wrote(self, begin: int = 0) -> list[str]:
        """What it sent to the cloud, but for reads and its store, from its nth request on."""
        return [sent.line for _, sent in self.seen[begin:] if sent.write and not to_store(sent)]
