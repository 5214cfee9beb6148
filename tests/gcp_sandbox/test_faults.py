"""Faults: which calls they meet, and what a client then sees."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import requests
from werkzeug.wrappers import Response

from gcp_sandbox.faults import Faults
from gcp_sandbox.http import Call
from gcp_sandbox.world.schema import Fault
from tests.gcp_sandbox.conftest import PROJECT

ROOT = f"https://cloudfunctions.googleapis.com/v2/projects/{PROJECT}/locations/us-central1"
JOBS = f"https://cloudscheduler.googleapis.com/v1/projects/{PROJECT}/locations/us-central1/jobs"


def seen(google, url: str = f"{ROOT}/functions") -> int | str:
    try:
        return google.get(url).status_code
    except requests.ConnectionError:
        return "lost"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("{status: 503}", [503, 503, 503]),
        ("{nth: 2, status: 429}", [200, 429, 200]),
        ("{nth: 1, lost: before}", ["lost", 200, 200]),
        ("{nth: 3, lost: after}", [200, 200, "lost"]),
        ('{route: "GET cloudfunctions.*/functions$", status: 500}', [500, 500, 500]),
        ('{route: "POST .*/functions", status: 500}', [200, 200, 200]),
        ('{route: "cloudscheduler", status: 500}', [200, 200, 200]),
        ("{status: 200}", [200, 200, 200]),
    ],
)
def test_which_calls(session, told, fault, expected):
    google = session(told(f"faults: [{fault}]"))
    assert [seen(google) for _ in expected] == expected


def test_nth_counts_only_the_calls_of_its_route(session, told):
    google = session(told('faults: [{route: "/jobs", nth: 2, status: 503}]'))
    assert [seen(google, url) for url in (JOBS, f"{ROOT}/functions", JOBS, JOBS)] == [200, 200, 503, 200]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (403, "PERMISSION_DENIED"),
        (409, "ABORTED"),
        (412, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (503, "UNAVAILABLE"),
    ],
)
def test_an_error_has_googles_envelope(session, told, status, name):
    google = session(told(f"faults: [{{status: {status}}}]"))
    error = google.get(f"{ROOT}/functions").json()["error"]
    assert (error["code"], error["status"], "errors" in error) == (status, name, False)
    bigquery = google.get(
        f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets/sales_intelligence"
    ).json()["error"]
    assert bigquery["errors"][0]["reason"]


@pytest.mark.parametrize(
    ("spec", "effects"), [({"lost": "before"}, 0), ({"lost": "after"}, 1), ({"status": 503}, 0), ({}, 1)]
)
def test_whether_it_happened(spec, effects):
    happened = []

    def act(_: Call) -> Response:
        happened.append(1)
        return Response()

    with pytest.raises(ConnectionResetError) if "lost" in spec else nullcontext():
        Faults([Fault(**spec)]).around(Call("POST", "host", "/path"), act)
    assert len(happened) == effects


def test_latency_passes_for_concurrent_calls_at_once(session, told):
    google = session(told("faults: [{latency_ms: 200}]"))
    seen(google)
    began = time.perf_counter()
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda _: seen(google), range(5))) == [200] * 5
    assert 0.2 <= time.perf_counter() - began < 0.6
