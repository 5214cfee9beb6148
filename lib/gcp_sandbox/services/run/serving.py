"""The Cloud Run service and the revisions behind each function, and which of them serves.

A function's newest good revision is older than the story, so that all log entries and runs belong to it, unless the
world has newer revisions. A revision reads its secrets when it is created, like an instance when it starts: later
changes of a version do not affect it, and it fails if a version cannot be read at that time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from gcp_sandbox.http import ApiError
from gcp_sandbox.services.run.revisions import (
    TEMPLATE,
    condition,
    image,
    labels,
    last,
    letters,
    ready,
    revision,
    revision_id,
    secrets_of,
    template,
    uid,
)
from gcp_sandbox.state import State
from gcp_sandbox.wire import etag, fill, number, stamp
from gcp_sandbox.world.events import Entry
from gcp_sandbox.world.inventory import Function
from gcp_sandbox.world.story import HISTORY

_shape = partial(fill, __file__)
LATEST, REVISION = (f"TRAFFIC_TARGET_ALLOCATION_TYPE_{kind}" for kind in ("LATEST", "REVISION"))

_PROBE = (
    'Default STARTUP TCP probe failed 1 time consecutively for container "worker" on port 8080. The instance was not '
    "started."
)
_STARTED = (
    "Starting new instance. Reason: DEPLOYMENT_ROLLOUT - Instance started due to traffic shifting between revisions "
    "due to deployment, traffic split adjustment, or deployment health check."
)


class Services:
    """Every Run service by the name of its function, with its revisions, oldest first, as JSON resources.

    `defects` maps an image to the error of its code. `built` are the images created since the start of the world, and
    `started_with` the secret versions that a new revision has read.
    """

    def __init__(self, sandbox: State):
        self.sandbox, self.inventory = sandbox, sandbox.inventory
        self.defects: dict[str, str] = {}
        self.built: set[str] = set()
        self.started_with: dict[str, dict[str, dict]] = {}
        self.revisions = {f.name: self._revisions(f) for f in sandbox.story.functions}
        self.services = {f.name: self._service(f) for f in sandbox.story.functions}
        self._live = {f.name: self._history(f) for f in sandbox.story.functions}

    def serving(self, name: str, at: datetime) -> str:
        """The id of the revision that answered at that moment; a deleted function had one, too."""
        live = self._live.get(name) or [(at, revision_id(self.named(name), 1))]
        return next((found for since, found in reversed(live) if since <= at), live[0][1])

    def named(self, function: str) -> str:
        """The name of a function's service: Google replaces what a service's name may not have."""
        said = next((f.service for f in self.inventory.functions if f.name == function), "")
        return said or function.lower().replace("_", "-")

    def function(self, service: str) -> str:
        """The name of a service's function; "" if there is no such service."""
        return next((name for name in self.services if self.named(name) == service), "")

    def path(self, name: str) -> str:
        """The full name of a function's service."""
        return f"{self.inventory.place}/services/{self.named(name)}"

    def uri(self, name: str) -> str:
        """The URL of a function's service, with a hash of the project and the initials of the region."""
        initials = "".join(part[0] for part in self.inventory.region.split("-"))
        return f"https://{self.named(name)}-{letters(self.inventory.project, size=10)}-{initials}.a.run.app"

    def find(self, name: str, revision: str) -> dict[str, Any] | None:
        """One revision by its id."""
        return next((r for r in self.revisions.get(name, []) if last(r) == revision), None)

    def _revisions(self, function: Function) -> list[dict]:
        count = 2 + number("revisions", function.name, below=2)
        first = 1 + number("first", function.name, below=60)
        made = [(HISTORY + timedelta(days=2 + 9 * (count - n), hours=n), "", "") for n in range(count)]
        said = self.sandbox.story.state(function)
        if said.state == "FAILED":
            made.append((timedelta(hours=3), said.message, ""))
        made += [(d.age, d.failure, d.error) for d in self.sandbox.story.said("revisions", function)]
        made.sort(reverse=True)
        found = []
        for n, (age, failure, error) in enumerate(made, first):
            self.defects[image(function.name, n, self.inventory)] = error
            secrets = self.sandbox.story.references(function)
            made_from, created = template(function, n, self.inventory, secrets), self.sandbox.world.now - age
            found.append(revision(self.path(function.name), n, made_from, created, failure))
        return found

    def _service(self, function: Function) -> dict:
        revisions, name = self.revisions[function.name], function.name
        newest, good = revisions[-1], next(r for r in reversed(revisions) if ready(r))
        pins = self.sandbox.story.said("traffic", function)
        traffic: list[dict] = [{"type": LATEST, "percent": 100}]
        if pins:
            traffic = [{"type": REVISION, "revision": last(revisions[-1 - pins[-1].back]), "percent": 100}]
        changed = max([newest["createTime"], *(stamp(self.sandbox.world.now - pin.since) for pin in pins)])
        generation = str(len(revisions) + len(pins))
        return _shape(
            "service",
            path=self.path(name),
            uid=uid(name),
            generation=generation,
            labels=labels(function),
            created=revisions[0]["createTime"],
            changed=changed,
            template={key: newest[key] for key in TEMPLATE if key in newest},
            traffic=traffic,
            condition=condition("Ready", changed, _not_ready(newest)),
            ready=good["name"],
            newest=newest["name"],
            uri=self.uri(name),
            etag=etag(name, generation),
        )

    def _history(self, function: Function) -> list[tuple[datetime, str]]:
        """The serving revisions with their start times; a pin stays when newer revisions are created."""
        good = [r for r in self.revisions[function.name] if ready(r)]
        found = [(datetime.fromisoformat(r["createTime"]), last(r)) for r in good]
        for pin in self.sandbox.story.said("traffic", function):
            since = self.sandbox.world.now - pin.since
            found = [f for f in found if f[0] < since] + [(since, last(self.revisions[function.name][-1 - pin.back]))]
        return found

    def target(self, name: str, tag: str = "") -> str:
        """The id of the revision for a call: that of the tag, or the one with the most traffic; "" is none."""
        targets = [t for t in self.services[name]["trafficStatuses"] if not tag or t.get("tag") == tag]
        if not targets:
            return ""
        most = max(targets, key=lambda t: t.get("percent", 0))
        return most.get("revision") or self.services[name]["latestReadyRevision"].rsplit("/", 1)[1]

    def begin(self, name: str, **changes: Any) -> None:
        """Start a change: the service shows the requested state, and the old state still serves."""
        service = self.services[name]
        service |= {"generation": str(int(service["generation"]) + 1), "reconciling": True, **changes}
        at = stamp(self.sandbox.now)
        service["terminalCondition"] = {"type": "Ready", "state": "CONDITION_PENDING", "lastTransitionTime": at}
        service["etag"] = etag(name, service["generation"], "begun")

    def settle(self, name: str, failure: str = "") -> None:
        """End a change: it is done, or it failed and the traffic did not change."""
        service, now = self.services[name], stamp(self.sandbox.now)
        service |= {"observedGeneration": service["generation"], "updateTime": now, "reconciling": False}
        service["terminalCondition"] = condition("Ready", now, failure)
        service["etag"] = etag(name, service["generation"])
        if failure:
            return
        uri = service["uri"].removeprefix("https://")
        service["trafficStatuses"] = [
            {**t, "uri": f"https://{t['tag']}---{uri}"} if "tag" in t else t for t in service["traffic"]
        ]
        self._live[name].append((self.sandbox.now, self.target(name)))

    def release(self, name: str, made_from: dict[str, Any], defect: str | None = None, failure: str = "") -> str:
        """Create a revision; returns why it cannot serve, or "". `defect` is for new code; None keeps the code."""
        n = int(self.revisions[name][-1]["name"].rsplit("-", 2)[1]) + 1
        if defect is not None:
            built = image(name, n, self.inventory)
            made_from = {**made_from, "containers": [{**made_from["containers"][0], "image": built}]}
            self.defects[built] = defect
            self.built.add(built)
        versions, unreadable = self._read_secrets(made_from)
        why = failure or unreadable
        made = revision(self.path(name), n, made_from, self.sandbox.now, why)
        self.revisions[name].append(made)
        self.started_with[last(made)] = versions
        service = self.services[name]
        service |= {"template": made_from, "latestCreatedRevision": made["name"]}
        if not why:
            service["latestReadyRevision"] = made["name"]
        for entry in _events(name, made, self.sandbox.now):
            self.sandbox.log.add(entry)
        return _not_ready(made)

    def failures(self) -> Iterator[Entry]:
        """What the platform logged of the revisions that never became ready."""
        for name, revisions in self.revisions.items():
            for made in (r for r in revisions if not ready(r)):
                yield from _events(name, made, datetime.fromisoformat(made["createTime"]).replace(microsecond=0))

    def _read_secrets(self, made_from: dict) -> tuple[dict[str, dict], str]:
        found = {}
        for secret, version in secrets_of(made_from):
            try:
                found[secret] = self.sandbox.secrets.enabled(secret, version)
            except ApiError as error:
                return found, error.message
        return found, ""


def _not_ready(made: dict[str, Any]) -> str:
    """Why a service does not serve its newest revision; "" if it can."""
    why = made["conditions"][0].get("message", "")
    return f"Revision '{last(made)}' is not ready and cannot serve traffic. {why}" if why else ""


def _events(name: str, made: dict[str, Any], at: datetime) -> Iterator[Entry]:
    """What the platform logs of a new revision."""
    why, id_ = made["conditions"][0].get("message", ""), last(made)
    if not why:
        yield Entry(at, name, "INFO", _STARTED, "system", revision=id_)
        return
    if "failed to start" in why:
        yield Entry(at, name, "ERROR", _PROBE, "system", revision=id_)
    words = f"Ready condition status changed to False for Revision {id_} with message: {why}"
    yield Entry(at, name, "ERROR", words, "proto", revision=id_)
