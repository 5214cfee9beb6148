"""Every kind of credentials on Google, with the real google-auth: it works, or one message says what to do.

No request leaves this process: whatever google-auth and the guard send ends in `Internet`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.model.errors import NoCredentials

PRODUCTION = load_settings("sandbox").model_copy(update={"environment": "production"})
NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
ROBOT = "reader@acme.iam.gserviceaccount.com"
TOKEN = {
    **{"access_token": "the-token", "expires_in": 3600, "token_type": "Bearer"},
    **{"accessToken": "the-token", "expireTime": "2099-01-01T00:00:00Z"},
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
}
USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
ACCOUNT = {
    "type": "service_account",
    "client_email": ROBOT,
    "private_key": KEY.decode(),
    "token_uri": "https://oauth2.googleapis.com/token",
}
ACT_AS = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
IMPERSONATED = {
    "type": "impersonated_service_account",
    "service_account_impersonation_url": ACT_AS,
    "source_credentials": USER,
}
POOL = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "subject"},
}
WORKFORCE = {
    "type": "external_account_authorized_user",
    "audience": "//iam.googleapis.com/locations/global/workforcePools/staff/providers/okta",
    "token_url": "https://sts.googleapis.com/v1/oauthtoken",
    "token_info_url": "https://sts.googleapis.com/v1/introspect",
    "client_id": "c",
    "client_secret": "s",
    "refresh_token": "r",
}
KINDS = {"user": USER, "account": ACCOUNT, "impersonated": IMPERSONATED, "pool": POOL, "workforce": WORKFORCE}
PEOPLE = ("user", "workforce")


class Internet:
    """Stands where every socket would be: the token services, then the project."""

    def __init__(self) -> None:
        self.sent: list[requests.PreparedRequest] = []
        self.token: tuple[int, Any] = (200, TOKEN)

    def send(self, adapter: HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.sent.append(request)
        project = "cloudresourcemanager" in str(request.url)
        status, value = (200, {}) if project else self.token
        if isinstance(value, Exception):
            raise value
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Date": "Wed, 11 Mar 2026 13:30:00 GMT"}
        return adapter.build_response(
            request, HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False)
        )


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Internet:
    made = Internet()
    monkeypatch.setattr(HTTPAdapter, "send", lambda adapter, request, **more: made.send(adapter, request, **more))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # else google-auth looks for a metadata server
    return made


@pytest.fixture
def file(internet: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The credentials file that the environment names."""
    path = tmp_path / "credentials.json"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "subject").write_text("a signed token of the CI")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return path


def opened() -> tuple[Cloud, tuple[datetime, bool]]:
    cloud = connect(PRODUCTION)
    return cloud, cloud.now()


@pytest.mark.parametrize("quota", [None, "somewhere"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_the_project(internet: Internet, file: Path, kind: str, quota: str | None) -> None:
    file.write_text(json.dumps(KINDS[kind] | ({"quota_project_id": quota} if quota else {})))
    assert opened()[1] == (NOW, True)
    asked = internet.sent[-1]
    assert (
        asked.url == f"https://cloudresourcemanager.googleapis.com/v3/projects/{PRODUCTION.project}:testIamPermissions"
    )
    assert asked.headers["authorization"] == "Bearer the-token"
    # R2: only a person's own quota project is sent; the required roles do not have serviceusage.services.use.
    assert asked.headers.get("x-goog-user-project") == (quota if kind in PEOPLE else None)


def test_the_environments_quota_project_is_not_sent_for_a_service_account(
    internet: Internet, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "somewhere")
    file.write_text(json.dumps(ACCOUNT))
    opened()
    assert "x-goog-user-project" not in internet.sent[-1].headers


def message() -> NoCredentials:
    """The one message of credentials that cannot be used; its four parts are there, each on one line."""
    with pytest.raises(NoCredentials) as raised:
        opened()
    error = raised.value
    parts = (error.what, error.observed, error.effect, error.next)
    assert all(parts)
    assert not any("\n" in part for part in parts)
    assert "object has no attribute" not in error.observed
    return error


REVOKED = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}


@pytest.mark.parametrize("kind", KINDS)
def test_expired_or_revoked(internet: Internet, file: Path, kind: str) -> None:
    file.write_text(json.dumps(KINDS[kind]))
    internet.token = (400, REVOKED)
    found = message()
    assert "Token has been expired or revoked." in found.observed
    assert f"GOOGLE_APPLICATION_CREDENTIALS={file}" in found.next
    assert found.next.endswith("gcloud auth application-default login")


ODD = [b"<html>Sign in</html>", b"", b"[]", b"null", b"7", b"[" * 100_000, b"\xff\xfe\x00", {}, {"access_token": 5}]


@pytest.mark.parametrize(
    "body", [*ODD, TOKEN | {"expires_in": "soon", "expireTime": "noon"}], ids=lambda b: str(b)[:20]
)
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_a_token_service_that_answers_something_else(
    internet: Internet, file: Path, kind: str, status: int, body: Any
) -> None:
    file.write_text(json.dumps(KINDS[kind]))
    internet.token = (status, body)
    message()


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_service_that_cannot_be_reached(internet: Internet, file: Path, kind: str) -> None:
    file.write_text(json.dumps(KINDS[kind]))
    internet.token = (0, requests.ConnectionError("no route to host"))
    if kind == "pool":  # google-auth asks for a token as soon as it loads these
        assert message().next == "check the network, then repeat this run."
    else:
        assert opened()[1][1] is False


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"hello", b"[]", b"null", b'"x"', b"7", b"\x00\xff", b"[" * 100_000, b'{"type": "\xff"}'),
        *({}, {"type": "new_kind"}, {"type": [1]}, {"type": "authorized_user"}, {"type": "service_account"}),
        *({"type": kind["type"]} for kind in (IMPERSONATED, POOL, WORKFORCE)),
        *(ACCOUNT | {"private_key": key} for key in ("x", None, 5)),
        *(IMPERSONATED | {"source_credentials": source} for source in (None, {"type": "new_kind"})),
        IMPERSONATED | {"service_account_impersonation_url": "x"},
        *(POOL | {"credential_source": source} for source in ({}, "x", {"file": "gone"})),
    ],
    ids=lambda text: str(text)[:40],
)
def test_a_damaged_file(file: Path, text: Any) -> None:
    file.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
    assert f"correct GOOGLE_APPLICATION_CREDENTIALS={file}" in message().next


def test_a_directory_a_missing_file_and_one_that_may_not_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "was not found" in message().observed
    file.mkdir()
    assert "directory" in message().observed

    file.rmdir()
    file.write_text("{}")

    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:  # because root may read any file
        patched.setattr("google.auth._default.io.open", refused)
        assert message().observed == "Permission denied"


def test_no_credentials_at_all(internet: Internet, tmp_path: Path) -> None:
    assert message().next == "sign in again: gcloud auth application-default login"
    own = tmp_path / "gcloud" / "application_default_credentials.json"
    own.parent.mkdir()
    own.write_text("half a fi")
    assert str(own) in message().observed
    assert internet.sent == []
