"""Cloud Functions v2: what is deployed, and in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gcp_sandbox.app import ApiError, Call, route
from gcp_sandbox.iam import project_number
from gcp_sandbox.inventory import Function
from gcp_sandbox.run import secret_variables
from gcp_sandbox.wire import digest, not_found, page

if TYPE_CHECKING:
    from gcp_sandbox.sandbox import Sandbox

_LOCATIONS = "/v2/projects/{project}/locations"
_FUNCTIONS = f"{_LOCATIONS}/{{location}}/functions"


class Functions:
    """Every function by name, as the JSON resource that the API shows."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        self.functions = {f.name: self._draw(f) for f in sandbox.story.functions}

    def _draw(self, function: Function) -> dict[str, Any]:
        inventory, services = self.sandbox.inventory, self.sandbox.services
        service = services.services[function.name]
        state = self.sandbox.story.states.get(function.name)
        messages = [{"severity": "ERROR", "type": "CloudRunServiceNotReady", "message": state.message}] if state else []
        return {
            "name": f"projects/{inventory.project}/locations/{inventory.region}/functions/{function.name}",
            "environment": "GEN_2",
            "state": state.state if state else "ACTIVE",
            **({"stateMessages": messages} if state and state.message else {}),
            "createTime": service["createTime"],
            "updateTime": service["updateTime"],
            "labels": {"deployment-tool": "cli-gcloud", "source-system": function.source_system},
            "url": f"https://{inventory.region}-{inventory.project}.cloudfunctions.net/{function.name}",
            "buildConfig": self._build(function),
            "serviceConfig": {
                "service": service["name"],
                "uri": service["uri"],
                "revision": service["latestCreatedRevision"].rsplit("/", 1)[1],
                "timeoutSeconds": function.timeout_s,
                "availableMemory": function.memory,
                "availableCpu": "0.3333",
                "maxInstanceCount": 1,
                "maxInstanceRequestConcurrency": 1,
                "ingressSettings": "ALLOW_ALL",
                "allTrafficOnLatestRevision": True,
                "serviceAccountEmail": services.account,
                "environmentVariables": {"LOG_EXECUTION_ID": "true"},
                "secretEnvironmentVariables": [
                    {"key": key, "projectId": inventory.project, "secret": secret, "version": "latest"}
                    for key, secret in secret_variables(function)
                ],
            },
        }

    def _build(self, function: Function) -> dict[str, Any]:
        inventory, id_ = self.sandbox.inventory, project_number(self.sandbox)
        source = {
            "bucket": f"gcf-v2-sources-{id_}-{inventory.region}",
            "object": f"{function.name}/function-source.zip",
            "generation": str(10**15 + int(digest("source", function.name)[:10], 16)),
        }
        return {
            "build": f"projects/{id_}/locations/{inventory.region}/builds/{digest('build', function.name)[:32]}",
            "runtime": function.runtime,
            "entryPoint": "main",
            "source": {"storageSource": source},
            "sourceProvenance": {"resolvedStorageSource": source},
            "dockerRegistry": "ARTIFACT_REGISTRY",
        }


@route("cloudfunctions", "GET", _FUNCTIONS, "cloudfunctions.functions.list")
def list_functions(sandbox: Sandbox, call: Call, project: str, location: str) -> dict:
    """A location that cannot be reached is named, and its functions are not in the list."""
    region = sandbox.inventory.region
    asked = [u for u in sandbox.world.unreachable if location in ("-", u)]
    here = location in ("-", region) and region not in asked
    answer = page(
        _without_generation(call), "functions", list(sandbox.functions.functions.values()) if here else [], 1000
    )
    names = [f"projects/{sandbox.inventory.project}/locations/{u}" for u in asked]
    return {**answer, "unreachable": names} if names else answer


def _without_generation(call: Call) -> Call:
    """Every function here is of the second generation: that filter, which gcloud sends, changes nothing."""
    args = {k: v for k, v in call.args.items() if (k, v) != ("filter", 'environment="GEN_2"')}
    return Call(call.method, call.host, call.path, args)


@route("cloudfunctions", "GET", f"{_FUNCTIONS}/{{function}}", "cloudfunctions.functions.get")
def get_function(sandbox: Sandbox, _call: Call, project: str, location: str, function: str) -> dict:
    """One function; where its location cannot be reached the answer is 503, not 404."""
    known = sandbox.functions.functions
    if location in sandbox.world.unreachable:
        raise ApiError(503, "UNAVAILABLE", f"The service is currently unavailable in {location}.")
    if function not in known or location != sandbox.inventory.region:
        name = f"projects/{sandbox.inventory.project}/locations/{location}/functions/{function}"
        raise not_found(f"Resource '{name}' was not found", name)
    return known[function]


@route("cloudfunctions", "GET", _LOCATIONS, "cloudfunctions.locations.list")
def list_locations(sandbox: Sandbox, call: Call, project: str) -> dict:
    """The one region that the project uses; gcloud asks for it before it lists functions."""
    region = sandbox.inventory.region
    name = f"projects/{sandbox.inventory.project}/locations/{region}"
    return page(call, "locations", [{"name": name, "locationId": region}], 1000)
