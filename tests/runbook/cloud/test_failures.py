"""What an answer that is no good leaves: a gap in Google's words, and the next step that helps (R2, R11)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import google.auth
import pytest
import requests
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as ServiceAccount

from runbook import facts
from runbook.cloud.client import Cloud
from runbook.cloud.connect import _google
from runbook.cloud.failures import gap
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.model.moment import Moment
from tests.conformance.test_guard import Wire

NOW = Moment(datetime(2026, 3, 11, 13, 30, tzinfo=UTC), load_settings("sandbox").zone)


class Answers(Wire):
    """Answers every request with this status and body."""

    def __init__(self, status: int, body: bytes, kind: str = "application/json"):
        super().__init__()
        self.given = status, body, kind

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        response = super().send(request, **more)
        response.status_code, response._content, response.headers["Content-Type"] = self.given
        return response


def failed(status: int, body: bytes, kind: str = "application/json") -> Any:
    """The gap that this answer to a read leaves."""
    cloud = Cloud(load_settings("sandbox"), "sandbox", Answers(status, body, kind))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is what `gap` tells
        cloud.get("run", "v2/projects/p/locations/l/services/s")
    return gap(raised.value, "x")


def info(reason: str, **metadata: str) -> list[dict[str, Any]]:
    return [{"links": []}, {"reason": reason, "metadata": metadata}]


OLD = "Cloud Zeppelin API has not been used in project 4711 before or it is disabled. See zeppelin.googleapis.com"


@pytest.mark.parametrize(
    ("code", "error", "next"),
    [
        (
            403,
            {"details": info("USER_PROJECT_DENIED", consumer="projects/acme-1")},
            "roles/serviceusage.serviceUsageConsumer on acme-1",
        ),
        (
            403,
            {"details": info("SERVICE_DISABLED", service="run.googleapis.com", consumer="projects/4711")},
            "gcloud services enable run.googleapis.com --project=4711",
        ),
        (
            403,
            {"details": info("SERVICE_DISABLED", service="run.googleapis.com", consumer="projects/764086051850")},
            "set-quota-project",
        ),
        (403, {"message": OLD}, "gcloud services enable zeppelin.googleapis.com --project=4711"),
        (403, {"details": info("SECURITY_POLICY_VIOLATED")}, "VPC Service Controls"),
        (403, {"details": info("CONSUMER_INVALID", consumer="projects/nope")}, "check `project` in params"),
        (
            403,
            {"details": info("IAM_PERMISSION_DENIED", permission="run.services.get", resource="projects/p")},
            "a role with run.services.get on projects/p",
        ),
        (
            403,
            {"message": "Permission secretmanager.versions.list denied on it"},
            "a role with secretmanager.versions.list",
        ),
        (403, {"details": info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")}, "scope cloud-platform"),
        (
            403,
            {"message": "This API method requires billing to be enabled.", "errors": [{"reason": "forbidden"}]},
            "billing account",
        ),
        (403, {"errors": [{"reason": "quotaExceeded"}]}, "wait a minute"),
        (403, {"errors": [{"reason": "userRateLimitExceeded"}]}, "wait a minute"),
        (
            403,
            {"errors": [{"reason": "responseTooLarge"}], "message": "Response too large"},
            "report it, with the size",
        ),
        (
            403,
            {"errors": [{"reason": "billingNotEnabled"}], "message": "Access Denied: Project acme-1: Enable billing."},
            "ask the owner of acme-1 to link a billing account",
        ),
        (403, {"message": "Project acme-1 (#4711) has billing disabled. Please enable it."}, "ask the owner of acme-1"),
        (403, {"message": "no"}, "roles.required in params"),
        (401, {"message": "no"}, "gcloud auth application-default login"),
        (429, {"message": "no"}, "wait a minute"),
        (503, {"message": "no"}, "repeat this run"),
        (400, {"message": "no"}, "this request is wrong"),
        (403, "not an object", "roles.required"),
        (403, {"details": "no list", "errors": {"a": 1}, "message": ["x"]}, "roles.required"),
    ],
)
def test_the_next_step_of_an_error(code: int, error: Any, next: str) -> None:
    found = failed(code, json.dumps({"error": error}).encode())
    assert next in found.next
    assert "under “access”" not in found.next
    assert str(code) in found.why or code == 401  # then the credentials are refreshed first, which says more


@pytest.mark.parametrize("body", [b"<html><title>Sign in</title></html>", b"[]", b'"text"', b"null", b"{", b"\xff"])
def test_an_answer_of_another_form_is_a_gap_and_never_an_empty_list(body: bytes) -> None:
    kind = "text/html" if body.startswith(b"<") else "application/json"
    assert "not a JSON object" in failed(200, body, kind).why


def test_a_page_instead_of_an_error_is_told_by_its_title() -> None:
    assert (
        failed(502, b"<!DOCTYPE html>\n<TITLE>502 Server Error</TITLE>...", "text/html").why == "502 502 Server Error"
    )
    cloud = Cloud(load_settings("sandbox"), "sandbox", Answers(404, b"<html><title>Blocked</title>", "text/html"))
    for ask in (facts.service("x"), facts.scores(), facts.freshness()):
        seen = observe(ask, cloud, NOW)
        assert (seen.absent, bool(seen.gaps)) == ((), True)


@pytest.mark.parametrize("token", ["same", 7, {"a": 1}])
def test_a_list_that_does_not_end_is_a_gap(token: Any) -> None:
    cloud = Cloud(load_settings("sandbox"), "sandbox", Answers(200, json.dumps({"nextPageToken": token}).encode()))
    for ask in (facts.functions(), facts.jobs(), facts.errors()):
        [found] = observe(ask, cloud, NOW).gaps
        assert "do not end" in found.why


class Bot(ServiceAccount):
    def __init__(self, quota: str | None):
        self._quota_project_id = quota

    def with_quota_project(self, quota_project_id: str | None) -> Bot:
        return Bot(quota_project_id)


@pytest.mark.parametrize(
    ("credentials", "billed"),
    [
        (Bot("somewhere"), None),
        (Bot(None), None),
        (Credentials("t"), None),
        (Credentials("t", quota_project_id="mine"), "mine"),
    ],
)
def test_only_a_persons_own_quota_project_is_sent(monkeypatch: Any, credentials: Any, billed: str | None) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(google.auth, "default", lambda **given: asked.update(given) or (credentials, "p"))
    cloud = _google(load_settings("sandbox"))
    assert cloud.credentials.quota_project_id == billed
    assert "quota_project_id" not in asked
