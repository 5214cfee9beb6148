"""The sandbox on loopback: what our library, curl and the CLIs connect to."""

from __future__ import annotations

import json
import os
import socket
import stat
from urllib.parse import urlsplit

import pytest
import requests

import gcp_sandbox
from gcp_sandbox.http import HOSTS
from gcp_sandbox.serve import environment, serve
from runbook.cloud import guard
from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

PATH = f"/v2/projects/{PROJECT}/locations/-/functions"
# APIs that gcloud does not ask through the sandbox, with the reason.
NOT_OF_GCLOUD = {
    "run": "gcloud run talks to the Knative API, which the sandbox does not have",
    "monitoring": "gcloud lists no time series",
    "inbox": "not an API of Google's",
}


@pytest.fixture(scope="module")
def url():
    with serve(gcp_sandbox.app(INVENTORY)) as served:
        yield served.url


def test_it_says_that_it_is_alive(url):
    says = requests.get(f"{url}/", timeout=5).json()
    assert says["project"] == PROJECT
    assert says["now"] == "2026-03-11T13:30:00Z"
    assert says["world"]


def test_only_on_loopback(url):
    assert urlsplit(url).hostname == "127.0.0.1"


@pytest.mark.parametrize("host", ["", "cloudfunctions.googleapis.com"])
def test_the_api_is_found_by_path_or_by_host(url, host):
    found = requests.get(url + PATH, headers={"Host": host} if host else {}, timeout=5)
    assert len(found.json()["functions"]) == 5


def test_another_apis_host_does_not_know_the_path(url):
    assert requests.get(url + PATH, headers={"Host": "secretmanager.googleapis.com"}, timeout=5).status_code == 501


def test_the_date_is_the_sandboxes_and_no_other(url):
    raw = requests.get(url + PATH, timeout=5, stream=True).raw
    assert raw.headers.getlist("Date") == ["Wed, 11 Mar 2026 13:30:00 GMT"]


def test_a_lost_answer_is_a_dropped_connection(told):
    app = gcp_sandbox.app(INVENTORY, told("faults: [{nth: 2, lost: after}]"))
    with serve(app) as served, requests.Session() as session:
        assert session.get(served.url + PATH, timeout=5).status_code == 200
        with pytest.raises(requests.ConnectionError):
            session.get(served.url + PATH, timeout=5)
        assert session.get(served.url + PATH, timeout=5).status_code == 200


def test_it_stops_and_frees_its_port(told):
    with serve(gcp_sandbox.app(INVENTORY, told(""))) as served:
        port = urlsplit(served.url).port
    with pytest.raises(requests.ConnectionError):
        requests.get(served.url, timeout=5)
    with serve(gcp_sandbox.app(INVENTORY, told("")), port) as again:
        assert again.url == served.url


def test_a_port_that_is_taken_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises((OSError, SystemExit)):
            serve(gcp_sandbox.app(INVENTORY), taken.getsockname()[1])


def test_environment(tmp_path):
    found = environment("http://127.0.0.1:8080", PROJECT, tmp_path / "cli")
    assert found["RUNBOOK_SANDBOX"] == "http://127.0.0.1:8080"
    assert found["CLOUDSDK_CORE_PROJECT"] == PROJECT
    assert found["CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"] == "http://127.0.0.1:8080/"
    assert found["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] == "http://127.0.0.1:8080/"
    assert found["STORAGE_EMULATOR_HOST"] == "http://127.0.0.1:8080"
    assert all(isinstance(value, str) for value in found.values())
    assert os.path.isdir(found["CLOUDSDK_CONFIG"])
    with open(found["BIGQUERYRC"], encoding="utf-8") as file:
        assert "api = http://127.0.0.1:8080" in file.read()
    assert stat.S_ISREG(os.stat(found["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]).st_mode)
    json.dumps(found)


def test_gcloud_asks_the_sandbox_for_each_api(tmp_path):
    """Without its override, gcloud would ask Google."""
    start = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
    found = environment("http://127.0.0.1:8080", PROJECT, tmp_path)
    overridden = {key.removeprefix(start).lower() for key in found if key.startswith(start)}
    known = set(HOSTS) | {host.removesuffix(".googleapis.com") for host in guard.HOSTS}
    assert sorted(known - overridden) == sorted(NOT_OF_GCLOUD), (
        "Add the API to _OVERRIDES in gcp_sandbox/serve.py, or to NOT_OF_GCLOUD here with the reason"
    )
    assert overridden <= known
