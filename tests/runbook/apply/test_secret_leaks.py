"""The value of a secret stands nowhere: not where it came from, not when Google repeats it, not when things break."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from werkzeug.wrappers import Request, Response

from gcp_sandbox.serve import serve
from runbook.apply.secret_value import SecretValue
from runbook.context import KERNEL, Told
from runbook.model.errors import Exit
from runbook.runner import run
from tests.runbook.changes import REQUESTER, Died, Next, Place, Result, Sent, Wire, error_of
from tests.slices import first, rotating

ROOT = Path(__file__).parents[3]
SECRET = "gmail-oauth-token"
VALUE = b'{"token": "s3cr\xc3\xa9t/Value+of=the new \\"one\\"", "more": "abcdefgh~ijkl"}'
LINES = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nzzTopSecretLine==\n-----END KEY-----\n"


def forms(value: bytes) -> dict[str, str]:
    """Every way in which a value could be written down."""
    plain, stripped = value.decode(), value.decode().strip()
    found = {}
    for name, text in (("plain", plain), ("stripped", stripped)):
        raw = text.encode()
        found |= {
            name: text,
            f"{name}, base64": base64.b64encode(raw).decode(),
            f"{name}, base64 for URLs": base64.urlsafe_b64encode(raw).decode(),
            f"{name}, hex": raw.hex(),
            f"{name}, URL": quote(text),
            f"{name}, URL, all": quote(text, safe=""),
            f"{name}, form": quote_plus(text),
            f"{name}, JSON": json.dumps(text)[1:-1],
            f"{name}, JSON in UTF-8": json.dumps(text, ensure_ascii=False)[1:-1],
            f"{name}, Python": repr(raw)[2:-1],
        }
    found |= {
        f"line {n}": line for n, line in enumerate(stripped.splitlines(), 1) if len(line) > 5 and line != stripped
    }
    return found


def assert_nowhere(value: bytes, folder: Path, *texts: str) -> None:
    """The value is in no file of a folder, and in none of the texts."""
    files = {str(path): path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert files
    for place, text in {**files, **{f"text {n}": text for n, text in enumerate(texts)}}.items():
        for name, form in forms(value).items():
            for written in (form, json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1]):
                assert written.rstrip("=") not in text, f"{name} in {place}"


def said(result: Result) -> str:
    """What a run showed, and the whole traceback of what ended it."""
    return result.shown + ("".join(traceback.format_exception(result.error)) if result.error else "")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("RUNBOOK_SECRET_FILE", "RUNBOOK_SECRET_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(KERNEL, "told", Told(None))
    return Place(tmp_path / "records")


def by_file(value: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "value").write_bytes(value)
    monkeypatch.setenv("RUNBOOK_SECRET_FILE", str(folder / "value"))


def by_variable(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "ITS_NAME")
    monkeypatch.setenv("ITS_NAME", value.decode())


def in_memory(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KERNEL, "told", Told(value))


def echo(code: int, form: str) -> Callable[..., Callable[..., requests.Response]]:
    """Google refuses the new version with this status, and repeats it in one of its forms."""

    def made(value: bytes) -> Callable[..., requests.Response]:
        text = forms(value).get(form, "")

        def fault(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
            if not sent.path.endswith(":addVersion"):
                return go()
            answer = requests.Response()
            answer.status_code, answer.url = code, f"https://{sent.host}{sent.path}"
            answer.headers["Content-Type"] = "application/json"
            message = f"Invalid payload: '{text}' is not\nwhat {text} should be"
            answer._content = json.dumps({"error": {"code": code, "message": message}}).encode()
            answer.request = requests.Request("POST", answer.url).prepare()
            return answer

        return fault

    return made


def fails(**fault: Any) -> Callable[..., Callable[..., requests.Response]]:
    """The sandbox fails so when the version is added."""

    def made(value: bytes) -> Callable[..., requests.Response]:
        def around(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
            if not sent.path.endswith(":addVersion"):
                return go()
            with wire.app_fails(**fault):
                return go()

        return around

    return made


def dies(value: bytes) -> Callable[..., requests.Response]:
    def fault(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.path.endswith(":addVersion"):
            raise Died
        return go()

    return fault


def breaks(value: bytes) -> Callable[..., requests.Response]:
    """A bug below, whose message holds what was sent."""

    def fault(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.path.endswith(":addVersion"):
            raise ValueError(f"cannot send {sent.body!r}")
        return go()

    return fault


# What happens → the outcome, or "" where the run breaks.
HAPPENS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "applied"),
    "lost before": (fails(lost="before"), "unknown"),
    "lost after": (fails(lost="after"), "applied"),
    "403": (fails(status=403), "failed"),
    "503": (fails(status=503), "unknown"),
    "dies": (lambda value: dies(value), ""),
    "breaks": (lambda value: breaks(value), ""),
    **{f"400 with {form}": (echo(400, form), "failed") for form in forms(VALUE)},
    "400 with a line": (echo(400, "line 2"), "failed"),
    "500 with it": (echo(500, "plain"), "unknown"),
    "501 with it": (echo(501, "plain"), ""),
    "302 with it": (echo(302, "plain, base64"), "unknown"),
    "429 with it": (echo(429, "plain, JSON"), "failed"),
}


VALUES = {"one line": VALUE, "several lines": LINES}


@pytest.mark.parametrize(("what", "kind"), rotating([*HAPPENS], [*VALUES], step=4))
def test_whatever_happens(
    here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, what: str, kind: str
) -> None:
    rotated(here, monkeypatch, capfd, what, VALUES[kind], partial(by_file, folder=tmp_path))


@pytest.mark.parametrize("given", [by_variable, in_memory])
@pytest.mark.parametrize(("what", "kind"), rotating(["nothing", "400 with plain", "breaks"], [*VALUES]))
def test_wherever_it_comes_from(
    here: Place, monkeypatch: pytest.MonkeyPatch, capfd: Any, given: Callable[..., None], kind: str, what: str
) -> None:
    rotated(here, monkeypatch, capfd, what, VALUES[kind], given)


def rotated(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: Any, what: str, value: bytes, give: Callable[..., None]
) -> None:
    """A rotation in which this happens ends as expected, sends the value once and leaves it nowhere else."""
    fault, expected = HAPPENS[what]
    planned = place.plan("rotate_secret")
    place.approve(planned.id)
    with monkeypatch.context() as patched:
        give(value, monkeypatch=patched)
        place.wire.fault = fault(value) if fault else None
        done = place.run("rotate_secret", show=True, approved_plan=planned.id)
    outcome = done.names.get("outcome")
    assert (outcome.result if outcome else "") == expected, f"{what}: {outcome} {error_of(done)[:50]}"
    assert_nowhere(value, place.records, said(done), *capfd.readouterr())
    sent = [w for w in place.wire.writes if w.path.endswith(":addVersion")]
    assert [base64.b64decode(json.loads(w.body)["payload"]["data"]) for w in sent] == [value]


@pytest.mark.parametrize("at", ["RESULT", "CONFIRM", "CLOSE"])
def test_when_the_journal_fails(here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    from runbook.records.journal import Journal

    planned, write = here.plan("rotate_secret"), Journal.write
    here.approve(planned.id)
    by_file(VALUE, tmp_path, monkeypatch)

    def full(self: Journal, kind: str, **data: Any) -> None:
        if kind == at:
            raise OSError(28, "No space left on device")
        write(self, kind, **data)

    here.wire.fault = echo(400, "plain")(VALUE) if at == "RESULT" else None
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", full)
        done = here.run("rotate_secret", show=True, approved_plan=planned.id)
    assert isinstance(done.error, OSError)
    assert_nowhere(VALUE, here.records, said(done))


def test_the_value_is_read_once_and_only_in_memory(
    here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_file(VALUE, tmp_path, monkeypatch)
    given = SecretValue()
    assert given.scrub(VALUE.decode()) == VALUE.decode()  # nothing was sent yet
    assert given.secret() == VALUE
    (tmp_path / "value").unlink()
    assert given.secret() == VALUE
    assert given.scrub(f"was: {VALUE.decode()}") == "was: (a secret)"
    assert_nowhere(VALUE, ROOT / "params", repr(given), str(given))


def test_these_tests_would_see_it(tmp_path: Path) -> None:
    for form in forms(VALUE).values():
        (tmp_path / "file").write_text(json.dumps({"said": f"x{form}y"}))
        with pytest.raises(AssertionError):
            assert_nowhere(VALUE, tmp_path)


# --- Through the real runner


class Echo:
    """An app that refuses every new version, and repeats its value as it was sent and plainly."""

    def __init__(self, app: Any):
        self.app, self.sandbox = app, app.sandbox

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        if not request.path.endswith(":addVersion"):
            return self.app(environ, start_response)
        data = json.loads(request.get_data())["payload"]["data"]
        message = f"Bad payload {data}: {base64.b64decode(data).decode()}"
        answer = Response(
            json.dumps({"error": {"code": 400, "message": message}}), 400, content_type="application/json"
        )
        return answer(environ, start_response)


@pytest.fixture
def approved(tmp_path: Path) -> tuple[Place, str]:
    """A place with a plan to rotate, approved."""
    place = Place(tmp_path / "records")
    planned = place.plan("rotate_secret")
    place.approve(planned.id)
    return place, planned.id


@pytest.mark.parametrize("echoes", first([False, True]))
def test_through_the_runner(
    approved: tuple[Place, str], monkeypatch: pytest.MonkeyPatch, capfd: Any, echoes: bool
) -> None:
    place, plan = approved
    with serve(Echo(place.app) if echoes else place.app) as served:
        monkeypatch.setenv("RUNBOOK_SANDBOX", served.url)
        monkeypatch.setenv("RUNBOOK_RECORDS", str(place.records))
        monkeypatch.setenv("RUNBOOK_PERSON", REQUESTER)
        ended = run.run("rotate_secret", {"approved_plan": plan}, told=Told(VALUE))
    report = json.loads((ended.folder / "report.json").read_text())
    assert ended.exit == (Exit.ALERT if echoes else Exit.OK), ended.error
    assert {path.name for path in ended.folder.iterdir()} >= {
        "report.json",
        "record.json",
        "journal.jsonl",
        "rotate_secret.ipynb",
    }
    assert "(a secret)" in json.dumps(report) if echoes else report["verdict"] == "ok"
    versions = place.app.sandbox.secrets.versions[SECRET]
    assert len(versions) == (2 if echoes else 3)
    assert echoes or place.app.sandbox.secrets.values[versions[-1]["name"]] == VALUE
    assert_nowhere(VALUE, place.records, *capfd.readouterr(), str(ended.record), "".join(ended.error))


@pytest.mark.parametrize("echoes", first([True, False]))
def test_through_the_command_line(approved: tuple[Place, str], echoes: bool) -> None:
    place, plan = approved
    with serve(Echo(place.app) if echoes else place.app) as served:
        more = {"RUNBOOK_SANDBOX": served.url, "RUNBOOK_RECORDS": str(place.records), "RUNBOOK_PERSON": REQUESTER}
        words = [sys.executable, "-m", "runbook.cli.main", "apply", plan, "--secret-stdin"]
        done = subprocess.run(words, input=VALUE, env=os.environ | more, capture_output=True, timeout=120, check=False)
    assert done.returncode == (Exit.ALERT if echoes else Exit.OK), done.stderr.decode()
    assert_nowhere(VALUE, place.records, done.stdout.decode(), done.stderr.decode())
    assert len(place.app.sandbox.secrets.versions[SECRET]) == (2 if echoes else 3)
