"""Whose credentials a run has: this machine's, or those of the account that params name under `read_as`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.oauth2.credentials import Credentials

from runbook.cli import doctor
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.config.schema import Settings
from runbook.facts.base import observe
from runbook.facts.secrets import access
from runbook.model.errors import NoCredentials
from runbook.model.moment import Moment
from tests.conformance.test_guard import Seen

READER = "runbook-reader@acme-sales.iam.gserviceaccount.com"
SYSTEM = load_settings("sandbox").model_copy(update={"environment": "live"})


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stands where Google issues tokens: notes the address and who asks; an account with "no" is refused."""
    asked: list[tuple[str, str]] = []

    class Request:
        def __init__(self, *_: Any):
            pass

        def __call__(self, url: str, method: str, body: Any, headers: dict[str, str], **_: Any) -> Any:
            asked.append((url, headers.get("authorization") or headers["Authorization"]))
            until = f"{datetime.now(UTC) + timedelta(hours=1):%FT%TZ}"
            data = {"error": {"status": "PERMISSION_DENIED"}} if "no@" in url else {"accessToken": "short"}
            return SimpleNamespace(
                status=403 if "no@" in url else 200, data=json.dumps(data | {"expireTime": until}).encode()
            )

    monkeypatch.delenv("MOCK_MODE", raising=False)
    monkeypatch.setattr("google.auth.transport.requests.Request", Request)
    monkeypatch.setattr("google.auth.default", lambda **_: (Credentials("own"), "some-project"))
    return asked


def sent(cloud: Cloud) -> str:
    """The credential that a read of this connection carries."""
    wire = Seen()
    Cloud(cloud.settings, "google", wire, cloud.credentials).get("run", "v2/projects/p/locations/l/services/s")
    return wire.headers[0]["authorization"]


def named(**accounts: str) -> Settings:
    return SYSTEM.model_copy(update=accounts)


def test_reads_carry_the_token_of_the_account(tokens: Any) -> None:
    assert sent(connect(SYSTEM)) == "Bearer own"
    assert tokens == []
    cloud = connect(named(read_as=READER))
    assert sent(cloud) == "Bearer short"
    [(url, who)] = tokens
    assert url.endswith(f"/serviceAccounts/{READER}:generateAccessToken")
    assert who == "Bearer own"
    assert cloud.identity == READER


class Answers(Seen):
    """Answers each request with one status, and notes it."""

    def __init__(self, status: int):
        super().__init__()
        self.status = status

    def send(self, request: Any, **options: Any) -> Any:
        answer = super().send(request, **options)
        answer.status_code = self.status
        return answer


@pytest.mark.parametrize("account", ["", READER.replace("reader", "applier")])
def test_writes_carry_the_token_of_the_account_that_applies(tokens: Any, account: str) -> None:
    cloud, wire = connect(named(read_as=READER, apply_as=account)), Seen()
    cloud.guard.transport = cloud.guard.writer = wire
    cloud.write("POST", "https://cloudscheduler.googleapis.com/v1/projects/p/locations/l/jobs/j:pause", b"{}")
    assert wire.headers[0]["authorization"] == ("Bearer short" if account else "Bearer own")
    assert [url.rpartition("/")[2].partition(":")[0] for url, _ in tokens] == [READER, *([account] if account else [])]


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_write_is_sent_once_whatever_is_answered(tokens: Any, status: int) -> None:
    cloud, wire = connect(SYSTEM), Answers(status)
    cloud.guard.transport = cloud.guard.writer = wire
    with pytest.raises(GoogleAPICallError):
        cloud.write("POST", "https://cloudscheduler.googleapis.com/v1/projects/p/locations/l/jobs/j:pause", b"{}")
    assert len(wire.headers) == 1


def test_an_account_that_may_not_apply_is_a_gap_of_the_gate(tokens: Any) -> None:
    cloud = connect(named(apply_as="no@acme-sales.iam.gserviceaccount.com"))
    found = observe(access("scheduler"), cloud, Moment(datetime.now(UTC), SYSTEM.zone))
    [gap] = found.gaps
    assert "no@acme-sales.iam.gserviceaccount.com cannot be impersonated" in gap.why
    assert "roles/iam.serviceAccountTokenCreator" in gap.next


def test_an_account_that_may_not_be_used_is_one_clear_message(tokens: Any) -> None:
    with pytest.raises(NoCredentials) as refused:
        connect(named(read_as="no@acme-sales.iam.gserviceaccount.com"))
    assert "no@acme-sales.iam.gserviceaccount.com cannot be impersonated" in str(refused.value)
    assert "or ask for roles/iam.serviceAccountTokenCreator on no@acme-sales" in str(refused.value)


@pytest.mark.parametrize(("account", "verdict"), [(READER, "ok"), ("no@acme-sales.iam.gserviceaccount.com", "warn")])
def test_doctor_asks_for_a_token_of_the_account_that_applies(tokens: Any, account: str, verdict: str) -> None:
    system = named(apply_as=account)
    [found] = doctor._apply_as(system, Cloud(system, "google", Seen()))
    assert (found.verdict.name, account in found.value, bool(found.next)) == (verdict, True, verdict == "warn")
    assert [url.rpartition("/")[2] for url, _ in tokens] == [f"{account}:generateAccessToken"]


def test_without_such_an_account_nothing_is_asked(tokens: Any) -> None:
    assert list(doctor._apply_as(SYSTEM, Cloud(SYSTEM, "google", Seen()))) == []
    assert tokens == []
