"""Secret Manager v1 through Google's own client."""

from __future__ import annotations

import google_crc32c
import pytest
from google.api_core.exceptions import BadRequest, Forbidden, NotFound
from google.cloud import secretmanager
from google.cloud.secretmanager import SecretManagerServiceClient

from gcp_sandbox.secrets import crc32c
from tests.gcp_sandbox.conftest import PROJECT

HERE = f"projects/{PROJECT}"
State = secretmanager.SecretVersion.State
SECRETS = ["gmail-oauth-token", "salesforce-client-id", "salesforce-client-secret"]


@pytest.fixture
def secrets(client):
    return lambda world="healthy": client(SecretManagerServiceClient, world)


def last(name: str) -> str:
    return name.rsplit("/", 1)[1]


def test_list(secrets):
    found = secrets().list_secrets(parent=HERE)
    assert found.total_size == 3
    assert [last(s.name) for s in found] == SECRETS
    assert [last(s.name) for s in secrets().list_secrets(request={"parent": HERE, "page_size": 1})] == SECRETS


@pytest.mark.parametrize("name", SECRETS)
def test_an_old_version_is_off_and_a_new_one_on(secrets, name):
    new, old = secrets().list_secret_versions(parent=f"{HERE}/secrets/{name}")
    assert (last(new.name), last(old.name)) == ("2", "1")
    assert new.state == State.ENABLED
    assert old.state in (State.DISABLED, State.DESTROYED)
    assert bool(old.destroy_time) == (old.state == State.DESTROYED)
    assert new.create_time > old.create_time == secrets().get_secret(name=f"{HERE}/secrets/{name}").create_time
    assert new.etag != old.etag
    assert secrets().get_secret_version(name=f"{HERE}/secrets/{name}/versions/1") == old


@pytest.mark.parametrize("version", ["2", "latest"])
def test_access(secrets, version):
    found = secrets().access_secret_version(name=f"{HERE}/secrets/gmail-oauth-token/versions/{version}")
    assert last(found.name) == "2"
    assert found.payload.data == b"sandbox value 2 of gmail-oauth-token"
    assert found.payload.data_crc32c == google_crc32c.value(found.payload.data)


@pytest.mark.parametrize("data", [b"", b"a", b"123456789", bytes(range(256))])
def test_crc32c(data):
    assert crc32c(data) == google_crc32c.value(data)


def test_what_is_off_cannot_be_read(secrets):
    off = [
        n
        for n in SECRETS
        for v in secrets().list_secret_versions(parent=f"{HERE}/secrets/{n}")
        if v.state == State.DISABLED
    ]
    with pytest.raises(BadRequest, match=r"versions/1\] is in DISABLED state"):
        secrets().access_secret_version(name=f"{HERE}/secrets/{off[0]}/versions/1")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("nothing", r"Secret \[projects/\d+/secrets/nothing\] not found"), ("gmail-oauth-token/versions/9", "versions/9")],
)
def test_what_is_not_there(secrets, name, complaint):
    google = secrets()
    get = google.get_secret_version if "versions" in name else google.get_secret
    with pytest.raises(NotFound, match=complaint):
        get(name=f"{HERE}/secrets/{name}")


def test_metadata_without_values(secrets, told):
    viewer = secrets(told("deny: [secretmanager.versions.access]"))
    assert viewer.get_secret_version(name=f"{HERE}/secrets/gmail-oauth-token/versions/latest").state == State.ENABLED
    with pytest.raises(Forbidden, match=r"Permission 'secretmanager.versions.access' denied for resource"):
        viewer.access_secret_version(name=f"{HERE}/secrets/gmail-oauth-token/versions/latest")
