"""Secret Manager v1 through Google's own client."""

from __future__ import annotations

import google_crc32c
import pytest
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, NotFound
from google.cloud import secretmanager
from google.cloud.functions_v2 import FunctionServiceClient
from google.cloud.run_v2 import RevisionsClient, ServicesClient
from google.cloud.secretmanager import SecretManagerServiceClient

from tests.gcp_sandbox.conftest import PROJECT, polled

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


TOKEN = f"{HERE}/secrets/gmail-oauth-token"
PLACE = f"{HERE}/locations/us-central1"


def add(google, data: bytes, secret: str = TOKEN, **more):
    return google.add_secret_version(parent=secret, payload={"data": data, **more}, retry=None)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("data", [b"new", bytes(range(256)), b"x" * 65_536])
def test_add(secrets, data, checked):
    google = secrets()
    before = google.get_secret_version(name=f"{TOKEN}/versions/latest")
    made = add(google, data, **({"data_crc32c": google_crc32c.value(data)} if checked else {}))
    assert (last(made.name), made.state, made.client_specified_payload_checksum) == ("3", State.ENABLED, checked)
    assert made.create_time > before.create_time
    assert google.get_secret_version(name=f"{TOKEN}/versions/latest") == made
    found = google.access_secret_version(name=f"{TOKEN}/versions/latest").payload
    assert (found.data, found.data_crc32c) == (data, google_crc32c.value(data))
    assert [last(v.name) for v in google.list_secret_versions(parent=TOKEN)] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [(b"new", {"data_crc32c": 1}, "checksum"), (b"", {}, "cannot be empty"), (b"x" * 65_537, {}, "too large")],
)
def test_a_value_that_is_refused_is_no_version(secrets, data, more, words):
    google = secrets()
    with pytest.raises(BadRequest, match=words):
        add(google, data, **more)
    assert last(google.get_secret_version(name=f"{TOKEN}/versions/latest").name) == "2"


def test_off_and_on_again(secrets):
    google, name = secrets(), f"{TOKEN}/versions/2"
    before = google.get_secret_version(name=name)
    off = google.disable_secret_version(request={"name": name, "etag": before.etag})
    assert off.state == State.DISABLED
    assert google.get_secret_version(name=name) == off
    with pytest.raises(BadRequest, match=r"versions/2\] is in DISABLED state"):
        google.access_secret_version(name=f"{TOKEN}/versions/latest")
    again = google.disable_secret_version(name=name)
    assert (again.state, again.etag != off.etag) == (State.DISABLED, True), "each change makes a new etag"
    with pytest.raises(BadRequest, match="etag provided does not match"):
        google.enable_secret_version(request={"name": name, "etag": before.etag})
    assert google.get_secret_version(name=name) == again
    on = google.enable_secret_version(request={"name": name, "etag": again.etag})
    assert on.state == State.ENABLED
    assert google.access_secret_version(name=f"{TOKEN}/versions/latest").payload.data


def test_what_is_destroyed_stays_so_and_nothing_is_destroyed_here(secrets, told):
    google = secrets(told("secrets: [{name: gmail-oauth-token, versions: [{age: 90d, state: DESTROYED}, {age: 1d}]}]"))
    with pytest.raises(BadRequest, match="is in DESTROYED state"):
        google.enable_secret_version(name=f"{TOKEN}/versions/1")
    with pytest.raises(GoogleAPICallError, match="no route"):
        google.destroy_secret_version(name=f"{TOKEN}/versions/2", retry=None)


@pytest.mark.parametrize("verb", ["add", "enable", "disable"])
def test_permissions(secrets, told, verb):
    google = secrets(told(f"deny: [secretmanager.versions.{verb}]"))
    with pytest.raises(Forbidden, match=f"secretmanager.versions.{verb}"):
        add(google, b"x") if verb == "add" else getattr(google, f"{verb}_secret_version")(name=f"{TOKEN}/versions/2")


def test_an_old_secret(secrets):
    google = secrets("old_secret")
    ages = [(v.state, last(v.name)) for v in google.list_secret_versions(parent=TOKEN)]
    assert ages == [(State.ENABLED, "2"), (State.ENABLED, "1")]
    assert google.get_secret_version(name=f"{TOKEN}/versions/2").create_time.date().isoformat() == "2025-03-11"


def call(here) -> int:
    uri = here(ServicesClient).get_service(name=f"{PLACE}/services/gmail-sync").uri
    return here.session.post(uri, headers={"Authorization": "Bearer x"}).status_code


def restart(here, version: str = ""):
    """A new revision: of the same template, or with a version of the secret that is named."""
    if not version:
        service = {"name": f"{PLACE}/services/gmail-sync", "template": {"annotations": {"restarted": "now"}}}
        request = {"service": service, "update_mask": {"paths": ["template.annotations"]}}
        return here(ServicesClient).update_service(request=request, retry=None)
    config = here(FunctionServiceClient).get_function(name=f"{PLACE}/functions/gmail-sync").service_config
    config.secret_environment_variables[0].version = version
    function = {"name": f"{PLACE}/functions/gmail-sync", "service_config": config}
    mask = {"paths": ["service_config.secret_environment_variables"]}
    return here(FunctionServiceClient).update_function(function=function, update_mask=mask, retry=None)


@pytest.mark.parametrize("version", ["", "3"])
def test_a_new_version_is_in_use_when_a_revision_has_started_with_it(cloud, version):
    here = cloud("many_errors")
    assert call(here) == 500, "invalid_grant"
    made = add(here(SecretManagerServiceClient), b"a new token")
    assert call(here) == 500, "the running instance still has the old one"
    polled(restart(here, version))
    newest = next(iter(here(RevisionsClient).list_revisions(parent=f"{PLACE}/services/gmail-sync")))
    reference = [
        e.value_source.secret_key_ref for e in newest.containers[0].env if e.value_source.secret_key_ref.secret
    ]
    assert [(r.secret, r.version) for r in reference] == [("gmail-oauth-token", version or "latest")]
    assert newest.create_time > made.create_time
    assert call(here) == 200


@pytest.mark.parametrize("version", ["", "2", "9"])
def test_what_cannot_be_read_stops_the_next_start_and_not_what_runs(cloud, version):
    here = cloud()
    here(SecretManagerServiceClient).disable_secret_version(name=f"{TOKEN}/versions/2")
    assert call(here) == 200
    words = r"versions/9\] not found" if version == "9" else r"versions/2\] is in DISABLED state"
    with pytest.raises(GoogleAPICallError, match=rf"is not ready and cannot serve traffic. Secret Version .*{words}"):
        polled(restart(here, version))
    assert call(here) == 200
    here(SecretManagerServiceClient).enable_secret_version(name=f"{TOKEN}/versions/2")
    polled(restart(here, "2"))
    assert call(here) == 200
