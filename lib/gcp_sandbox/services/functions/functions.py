"""Cloud Functions v2: the deployed functions and their state."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.services.run.revisions import LOGGED, secret_variables
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, fill, not_found, page, sent, stamp
from gcp_sandbox.world.inventory import Function

_LOCATIONS = "/v2/projects/{project}/locations"
FUNCTIONS = f"{_LOCATIONS}/{{location}}/functions"
_shape = partial(fill, __file__)


class Functions:
    """Every function by name: its deployment is stored here, the serving revision is read from its Run service."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        self.functions = {f.name: self._make(f) for f in sandbox.story.functions}

    def draw(self, name: str) -> dict[str, Any]:
        """One function, as the API returns it now."""
        found, service = self.functions[name], self.sandbox.services.services[name]
        newest = service["latestCreatedRevision"].rsplit("/", 1)[1]
        serving = self.sandbox.services.target(name)
        live = {
            "revision": newest,
            "allTrafficOnLatestRevision": serving == service["latestReadyRevision"].rsplit("/", 1)[1],
        }
        return sent({**found, "serviceConfig": {**found["serviceConfig"], **live}})

    def _make(self, function: Function) -> dict[str, Any]:
        inventory, services = self.sandbox.inventory, self.sandbox.services
        service = services.services[function.name]
        said = self.sandbox.story.state(function)
        message = {"severity": "ERROR", "type": "CloudRunServiceNotReady", "message": said.message}
        references, source = self.sandbox.story.references(function), self.source(function.name)
        return _shape(
            "function",
            here=inventory,
            function=function,
            said=said,
            messages=[message] if said.message else None,
            created=service["createTime"],
            updated=stamp(datetime.fromisoformat(services.revisions[function.name][-1]["createTime"]), 9),
            build=self.build_name(function.name),
            source=source,
            stored=source["storageSource"],
            service=service["name"],
            uri=service["uri"],
            logged={**LOGGED},
            variables=[self._variable(*one) for one in secret_variables(references)],
            volumes=[_shape("volume", here=inventory, reference=r) for r in references if r.volume],
        )

    def _variable(self, key: str, secret: str, version: str) -> dict[str, Any]:
        return _shape("variable", here=self.sandbox.inventory, key=key, secret=secret, version=version)

    def build_name(self, *seed: str) -> str:
        """The full name of a build."""
        here = self.sandbox.inventory
        return f"projects/{here.project_number}/locations/{here.region}/builds/{digest('build', *seed)[:32]}"

    def source(self, name: str, *seed: str) -> dict[str, Any]:
        """The location of the source of a deployment; each deployment is a new generation."""
        here = self.sandbox.inventory
        bucket = f"gcf-v2-sources-{here.project_number}-{here.region}"
        generation = str(10**15 + int(digest("source", name, *seed)[:10], 16))
        return {"storageSource": {"bucket": bucket, "object": f"{name}/function-source.zip", "generation": generation}}


@route("cloudfunctions", "GET", FUNCTIONS, "cloudfunctions.functions.list")
def list_functions(sandbox: State, call: Call, project: str, location: str) -> dict:
    """The list names unreachable locations and does not contain their functions."""
    region, functions = sandbox.inventory.region, sandbox.functions
    asked = [u for u in sandbox.world.unreachable if location in ("-", u)]
    here = location in ("-", region) and region not in asked
    drawn = [functions.draw(name) for name in functions.functions] if here else []
    answer = page(_without_generation(call), "functions", drawn, 1000)
    names = [f"projects/{sandbox.inventory.project}/locations/{u}" for u in asked]
    return {**answer, "unreachable": names} if names else answer


def _without_generation(call: Call) -> Call:
    """Every function here is of the second generation: so the filter that gcloud sends changes nothing."""
    args = {k: v for k, v in call.args.items() if (k, v) != ("filter", 'environment="GEN_2"')}
    return replace(call, args=args)


@route("cloudfunctions", "GET", f"{FUNCTIONS}/{{function}}", "cloudfunctions.functions.get")
def get_function(sandbox: State, _call: Call, project: str, location: str, function: str) -> dict:
    """One function; if its location is unreachable, the answer is 503, not 404."""
    sandbox.operations.watch(known(sandbox, location, function)["name"])
    return sandbox.functions.draw(function)


def known(sandbox: State, location: str, function: str) -> dict:
    """One function as stored. Raises ApiError 404 and 503."""
    if location in sandbox.world.unreachable:
        raise ApiError(503, "UNAVAILABLE", f"The service is currently unavailable in {location}.")
    if function not in sandbox.functions.functions or location != sandbox.inventory.region:
        name = f"projects/{sandbox.inventory.project}/locations/{location}/functions/{function}"
        raise not_found(f"Resource '{name}' was not found", name)
    return sandbox.functions.functions[function]


@route("cloudfunctions", "GET", _LOCATIONS, "cloudfunctions.locations.list")
def list_locations(sandbox: State, call: Call, project: str) -> dict:
    """The one region that the project uses; gcloud requests it before it lists functions."""
    here = sandbox.inventory
    return page(call, "locations", [{"name": here.place, "locationId": here.region}], 1000)
