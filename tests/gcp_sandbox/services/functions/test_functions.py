"""Cloud Functions v2 through Google's own client."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import NotFound, ServiceUnavailable
from google.cloud import functions_v2
from google.cloud.functions_v2 import FunctionServiceClient

from tests.gcp_sandbox.conftest import INVENTORY, PROJECT
from tests.slices import every

HERE = f"projects/{PROJECT}/locations/us-central1"
State = functions_v2.Function.State


@pytest.fixture
def functions(client):
    return lambda world="healthy", **changes: client(FunctionServiceClient, world, **changes)


def names(found) -> list[str]:
    return [function.name.rsplit("/", 1)[1] for function in found]


@pytest.mark.parametrize("location", ["-", "us-central1"])
def test_list(functions, location):
    found = list(functions().list_functions(parent=f"projects/{PROJECT}/locations/{location}"))
    assert names(found) == [f["name"] for f in INVENTORY["functions"]]
    assert {f.state for f in found} == {State.ACTIVE}


def test_another_location_has_none(functions):
    assert not list(functions().list_functions(parent=f"projects/{PROJECT}/locations/europe-west1"))


def test_a_function_is_what_the_inventory_says(functions):
    found = functions().get_function(name=f"{HERE}/functions/gmail-sync")
    assert found.environment == functions_v2.Environment.GEN_2
    assert (found.build_config.runtime, found.build_config.entry_point) == ("python311", "main")
    service = found.service_config
    assert (service.available_memory, service.timeout_seconds) == ("512Mi", 300)
    assert service.service == f"{HERE}/services/gmail-sync"
    assert service.revision.startswith("gmail-sync-000")
    assert service.all_traffic_on_latest_revision
    assert [(v.key, v.secret, v.version) for v in service.secret_environment_variables] == [
        ("GMAIL_OAUTH_TOKEN", "gmail-oauth-token", "latest")
    ]
    assert found.create_time < found.update_time


def test_a_function_that_is_not_there(functions):
    with pytest.raises(NotFound, match="functions/nothing' was not found"):
        functions().get_function(name=f"{HERE}/functions/nothing")
    with pytest.raises(NotFound):
        functions().get_function(name=f"projects/{PROJECT}/locations/europe-west1/functions/gmail-sync")


def test_missing_and_failed(functions):
    found = {f.name.rsplit("/", 1)[1]: f for f in functions("missing_function").list_functions(parent=HERE)}
    assert "hubspot-contacts-sync" not in found
    failed = found["account-scoring"]
    assert failed.state == State.FAILED
    assert "Container Healthcheck failed" in failed.state_messages[0].message
    assert found["gmail-sync"].state == State.ACTIVE


@pytest.mark.parametrize("location", ["-", "us-central1"])
def test_an_unreachable_location_is_named_and_its_functions_are_not_there(functions, location):
    page = functions("unreachable_region").list_functions(parent=f"projects/{PROJECT}/locations/{location}")
    assert (list(page.functions), list(page.unreachable)) == ([], [HERE])


def test_an_unreachable_function_is_not_a_missing_one(functions):
    with pytest.raises(ServiceUnavailable):
        functions("unreachable_region").get_function(name=f"{HERE}/functions/gmail-sync", retry=None)


@pytest.mark.parametrize(
    ("asked", "pages"), every(3, [(0, [1000, 305]), (1000, [1000, 305]), (5000, [1000, 305]), (600, [600, 600, 105])])
)
def test_pages(functions, told, asked, pages):
    request = {"parent": HERE, "page_size": asked}
    found = functions(told("bulk: {functions: 1300}")).list_functions(request=request)
    assert [len(page.functions) for page in found.pages] == pages


def test_locations(session):
    found = session().get(f"https://cloudfunctions.googleapis.com/v2/projects/{PROJECT}/locations").json()
    assert [location["locationId"] for location in found["locations"]] == ["us-central1"]


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ({"pageToken": "x"}, 400),
        ({"pageSize": "-1"}, 400),
        ({"filter": "state=FAILED"}, 501),
        ({"filter": 'environment="GEN_2"'}, 200),
    ],
)
def test_arguments_that_are_not_understood_are_not_passed_over(session, args, status):
    assert (
        session().get(f"https://cloudfunctions.googleapis.com/v2/{HERE}/functions", params=args).status_code == status
    )
