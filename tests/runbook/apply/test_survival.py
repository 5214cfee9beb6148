"""What somebody has set on a function and its service is still there after each of our updates, but for what was planned."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from runbook.facts.checkout import source_code
from tests.runbook.changes import LOOKED_AT_ONCE, Place

NAME, SECRET = "gmail-sync", "gmail-oauth-token"
ACCOUNT = "gmail@acme-sales-sandbox.iam.gserviceaccount.com"
CONNECTOR = "projects/acme-sales-sandbox/locations/us-central1/connectors/office"

FUNCTION = {
    "labels": {"team": "sales", "deployment-tool": "terraform"},
    "kmsKeyName": "projects/acme-sales-sandbox/locations/us-central1/keyRings/a/cryptoKeys/b",
    "description": "reads mail",
}
BUILD = {"environmentVariables": {"GOOGLE_BUILDABLE": "x"}, "workerPool": "projects/p/locations/l/workerPools/w"}
CONFIG = {
    "environmentVariables": {"LOG_EXECUTION_ID": "true", "REGION_OF_MAIL": "eu"},
    "vpcConnector": CONNECTOR,
    "vpcConnectorEgressSettings": "ALL_TRAFFIC",
    "minInstanceCount": 1,
    "maxInstanceCount": 7,
    "ingressSettings": "ALLOW_INTERNAL_ONLY",
    "availableCpu": "2",
    "maxInstanceRequestConcurrency": 40,
    "serviceAccountEmail": ACCOUNT,
}
SERVICE = {
    "labels": {"goog-managed-by": "cloudfunctions", "team": "sales"},
    "annotations": {"owner": "sales"},
    "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
    "scaling": {"minInstanceCount": 1},
}
TEMPLATE = {
    "labels": {"goog-cloudfunctions-runtime": "python311", "team": "sales"},
    "annotations": {"cloudfunctions.googleapis.com/trigger-type": "HTTP_TRIGGER"},
    "vpcAccess": {"connector": CONNECTOR, "egress": "ALL_TRAFFIC"},
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 7},
    "maxInstanceRequestConcurrency": 40,
    "serviceAccount": ACCOUNT,
    "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
    "sessionAffinity": True,
}
PLAIN = [{"name": "LOG_EXECUTION_ID", "value": "true"}, {"name": "REGION_OF_MAIL", "value": "eu"}]
CPU = {"cpu": "2", "memory": "512Mi"}

# What is planned, and the paths that may differ afterwards besides the new revision's name, times and etags.
CODE = ("buildConfig/build", "buildConfig/source", "buildConfig/sourceProvenance", "labels/runbook-source")
REVISION = ("serviceConfig/revision", "service/latestCreatedRevision", "service/latestReadyRevision")
MEMORY = ("serviceConfig/availableMemory", "service/template/containers/0/resources/limits/memory")
TIMEOUT = ("serviceConfig/timeoutSeconds", "service/template/timeout")
IMAGE = ("service/template/containers/0/image",)
MARK = ("service/template/annotations/runbook/secret-version",)
TRAFFIC = ("service/traffic", "service/trafficStatuses", "serviceConfig/allTrafficOnLatestRevision")
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "memory": ("deploy", {"memory": "1Gi"}, (*REVISION, *MEMORY)),
    "timeout": ("deploy", {"timeout_s": 500}, (*REVISION, *TIMEOUT)),
    "source": ("deploy", {"source": "sample"}, (*REVISION, *CODE, *IMAGE)),
    "all at once": (
        "deploy",
        {"source": "sample", "memory": "1Gi", "timeout_s": 500},
        (*REVISION, *CODE, *IMAGE, *MEMORY, *TIMEOUT),
    ),
    "restart": ("deploy", {"restart": True}, (*REVISION, *MARK)),
    "rollback": ("rollback", {}, TRAFFIC),
    "rotation": ("rotate_secret", {}, (*REVISION, *MARK)),
}
ALWAYS = ("updateTime", *(f"service/{n}" for n in ("updateTime", "etag", "generation", "observedGeneration")))
ALWAYS += ("service/terminalCondition",)


def set_all(place: Place) -> None:
    """Somebody has set everything on the function and on its service; the memory, time and secrets stay as they are."""
    sandbox = place.app.sandbox
    function, service = sandbox.functions.functions[NAME], sandbox.services.services[NAME]
    secrets = [e for e in service["template"]["containers"][0]["env"] if "valueSource" in e]
    assert secrets
    assert function["serviceConfig"]["secretEnvironmentVariables"]
    function |= copy.deepcopy(FUNCTION)
    function["buildConfig"] |= copy.deepcopy(BUILD)
    function["serviceConfig"] |= copy.deepcopy(CONFIG)
    service |= copy.deepcopy(SERVICE)
    worker = {**service["template"]["containers"][0], "env": [*PLAIN, *secrets], "resources": {"limits": CPU}}
    service["template"] = copy.deepcopy({**service["template"], **TEMPLATE, "containers": [worker]})
    sandbox.services.revisions[NAME][-1] |= copy.deepcopy(service["template"])


def whole(place: Place) -> dict[str, Any]:
    """The function as it is drawn, with its service and the newest revision, by path."""
    sandbox = place.app.sandbox
    service = sandbox.services.services[NAME]
    newest = sandbox.services.revisions[NAME][-1]
    assert all(newest[key] == value for key, value in service["template"].items()), "the revision is not the template"
    return dict(_leaves("", {**sandbox.functions.draw(NAME), "service": copy.deepcopy(service)}))


def _leaves(path: str, value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not pairs:
        yield path.strip("/"), value
    for key, inner in pairs:
        yield from _leaves(f"{path}/{key}", inner)


@pytest.mark.parametrize(("runbook", "given", "planned"), CASES.values(), ids=CASES)
def test_what_was_set_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runbook: str, given: dict[str, Any], planned: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")
    place = Place(tmp_path / "records")
    set_all(place)
    before = whole(place)
    with patch.multiple(source_code, **LOOKED_AT_ONCE):
        place.applied(runbook, **given)
    after = whole(place)
    moved = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not {path for path in moved if not path.startswith((*planned, *ALWAYS))}
    assert not {name for name in planned if not any(path.startswith(name) for path in moved)}
