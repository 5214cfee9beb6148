"""The printed roles: they suffice in a sandbox that grants nothing else, and the real gcloud sends what is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from gcp_sandbox.http import ROUTES
from gcp_sandbox.serve import environment
from runbook.cli.doctor import ACT_AS, APPLYING, READING, roles
from runbook.config.load import RUNBOOKS, load_settings
from tests.runbook.changes import CHANGING, Place
from tests.slices import first

SYSTEM = load_settings("sandbox")


def granting(folder: Path, permissions: set[str]) -> str:
    """A healthy world that grants these permissions only."""
    known = {r.permission for r in ROUTES if r.permission} | READING | APPLYING | {ACT_AS}
    path = folder / "world.yaml"
    # Two enabled versions, of which the older can be retired.
    secrets = "secrets: [{name: gmail-oauth-token, versions: [{age: 700d}, {age: 365d}]}]"
    denied = json.dumps(sorted(known - permissions))
    path.write_text(f"about: a test\nnow: 2026-03-11T13:30:00Z\n{secrets}\ndeny: {denied}\n")
    return str(path)


def statuses(place: Place) -> list[tuple[str, int]]:
    """A list that gets each request of a place with the status of its answer."""
    found: list[tuple[str, int]] = []

    def note(_wire: Any, _number: int, sent: Any, answer: Any) -> requests.Response:
        response = answer()
        found.append((sent.line, response.status_code))
        return response

    place.wire.fault = note
    return found


@pytest.mark.parametrize("runbook", sorted(p.stem for p in RUNBOOKS.glob("*.ipynb")))
def test_the_role_for_reading_suffices_to_read(tmp_path: Path, runbook: str) -> None:
    here = Place(tmp_path / "records", world=granting(tmp_path, READING))
    seen = statuses(here)
    assert here.run(runbook).error is None
    assert seen
    assert [line for line, status in seen if status == 403] == []


def test_without_one_of_its_permissions_something_is_refused(tmp_path: Path) -> None:
    here = Place(tmp_path / "records", world=granting(tmp_path, READING - {"run.services.get"}))
    seen = statuses(here)
    here.run("rollback")
    assert 403 in dict(seen).values()


def test_both_roles_cover_what_params_check() -> None:
    assert {p for needed in SYSTEM.roles.required.values() for p in needed} <= READING
    assert {p for needed in SYSTEM.roles.elevated.values() for p in needed} <= APPLYING | {ACT_AS}
    assert not READING & APPLYING


@pytest.mark.parametrize("runbook", first(sorted(CHANGING)))
def test_both_roles_suffice_to_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runbook: str) -> None:
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")
    here = Place(tmp_path / "records", world=granting(tmp_path, READING | APPLYING | {ACT_AS}))
    seen = statuses(here)
    here.applied(runbook, **CHANGING[runbook])
    assert [line for line, status in seen if status == 403] == []


# --- the script


class Google(BaseHTTPRequestHandler):
    """Answers gcloud as far as it must go on, and notes what it sends."""

    sent: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        self.sent.append((f"{self.command} {self.path.partition('?')[0]}", body))
        answer: dict[str, Any] = {"name": "operations/1", "done": True} if ":enable" in self.path else {}
        answer |= {"etag": "BwX1"} if "IamPolicy" in self.path else {}
        account = {"serviceAccountEmail": "etl@acme-sales-sandbox.iam.gserviceaccount.com"}
        function = {"name": "projects/p/locations/r/functions/f", "environment": "GEN_2", "serviceConfig": account}
        answer |= {"functions": [function, function]} if "/functions" in self.path else {}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def google() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    handler = type("Handler", (Google,), {"sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.sent
    server.shutdown()
    server.server_close()


def run(script: str, folder: Path, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment(url, SYSTEM.project, folder), **more}
    env |= {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"{url}/" for api in ("IAM", "SERVICEUSAGE")}
    env = {key: value for key, value in env.items() if key != "TEAM" or "TEAM" in more}
    (folder / "roles.sh").write_text(script)
    return subprocess.run(
        ["sh", "roles.sh"], stdin=subprocess.DEVNULL, cwd=folder, env=env, capture_output=True, text=True, timeout=200
    )


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed here")
def test_the_real_gcloud_sends_what_the_script_says(tmp_path: Path, google: Any) -> None:
    url, sent = google
    system = SYSTEM.model_copy(update={"apply_as": "deployer@acme-tools.iam.gserviceaccount.com"})
    done = run(roles(system), tmp_path, url, TEAM="group:team@acme.example")
    assert done.returncode == 0, done.stderr
    made = {body["roleId"]: body["role"]["includedPermissions"] for line, body in sent if line.endswith("/roles")}
    assert made == {"runbookReader": sorted(READING), "runbookApplier": sorted(APPLYING)}
    accounts = [(line.split("/")[3], body["accountId"]) for line, body in sent if line.endswith("/serviceAccounts")]
    assert accounts == [("acme-sales-sandbox", "runbook-reader"), ("acme-tools", "deployer")]
    bound = [
        (line.rpartition("/")[2].removesuffix(":setIamPolicy"), *one["members"], one["role"].rpartition("/")[2])
        for line, body in sent
        if "setIamPolicy" in line
        for one in body["policy"]["bindings"]
    ]
    reader = "runbook-reader@acme-sales-sandbox.iam.gserviceaccount.com"
    applier, team = system.apply_as, "group:team@acme.example"
    assert bound == [
        ("acme-sales-sandbox", f"serviceAccount:{reader}", "runbookReader"),
        ("acme-sales-sandbox", f"serviceAccount:{applier}", "runbookReader"),
        ("acme-sales-sandbox", f"serviceAccount:{applier}", "runbookApplier"),
        (reader, team, "iam.serviceAccountTokenCreator"),
        (applier, team, "iam.serviceAccountTokenCreator"),
        ("etl@acme-sales-sandbox.iam.gserviceaccount.com", f"serviceAccount:{applier}", "iam.serviceAccountUser"),
    ]


def test_without_a_team_the_script_does_nothing(tmp_path: Path) -> None:
    done = run(roles(SYSTEM), tmp_path, "http://127.0.0.1:1")
    assert done.returncode != 0
    assert "set TEAM to the people who run runbooks" in done.stderr
    assert not list(tmp_path.glob("*.yaml"))
