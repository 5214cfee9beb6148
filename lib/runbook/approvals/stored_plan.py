"""A plan in a record store: find it by its id, show it to its approver, and sign it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook.approvals.sign import approve
from runbook.approvals.signed import identity, is_open
from runbook.approvals.signers import signers_of
from runbook.approvals.statement import Statement
from runbook.approvals.terms import opens
from runbook.approvals.verify import signed_roles
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config.data_file import text_of
from runbook.config.load import environments, load_settings
from runbook.config.schema import Settings
from runbook.model.actions import ACTIONS
from runbook.model.errors import BadSettings, Refused, UnknownName, require
from runbook.model.operations import Rule
from runbook.records.plans import Stored, clock, newest_plan
from runbook.records.provenance import require_committed
from runbook.records.record import store_of
from runbook.records.store import Store


@dataclass(frozen=True)
class Found:
    """A valid plan file, and the environment whose store it is in."""

    system: Settings
    store: Store
    stored: Stored

    @cached_property
    def file(self) -> dict[str, Any]:
        return self.stored.file.model_dump()

    @property
    def content(self) -> dict[str, Any]:
        return self.file["content"]

    @property
    def rule(self) -> Rule:
        """The operation's row in params. Raises Refused if there is none."""
        name = self.content["operation"]
        if name not in self.system.operations:
            raise Refused("params do not allow this", f"operations.{name} is missing", next="add that row.")
        return self.system.operations[name]

    @property
    def parameters(self) -> dict[str, Any]:
        return self.content["parameters"]

    @property
    def preferred(self) -> str:
        """When an approval signed now takes effect: the window in words, and its next opening."""
        window = self.system.windows.get(self.rule.window)
        begins = opens(window, self.cloud.now()[0], self.system.zone).astimezone(self.system.zone)
        return f"{window.text}; from {begins:%a %Y-%m-%d %H:%M %Z}" if window else "any"

    @property
    def needs_secret(self) -> bool:
        """Whether a change adds a version of a secret."""
        return any(ACTIONS[change["action"]].needs_secret for change in self.content["changes"])

    def require_signature(self) -> None:
        """Raise Refused unless at least one permitted signer has signed it, or no approval is required.

        The plan's parameters decide what runs, such as a folder of code. Without a signature, anyone who can write to
        the store could have set them.
        """
        required = self.rule.signers
        if required and not self.signed[0]:
            plan, why = self.file["id"][:12], [*self.signed[1], *(f"not yet approved as {role}" for role in required)]
            what = f"{self.content['operation']} ({self.content['environment']}) is not approved: {plan}"
            raise Refused(what, "\n".join(why), next=f"runbook approve {plan}, by: {', '.join(required)}.")

    @cached_property
    def signed(self) -> tuple[list[str], list[str]]:
        """See `signed_roles`."""
        people = signers_of(self.system, self.content["target"])
        return signed_roles(self.stored.file, self.rule, people, self.store, datetime.now(UTC))

    @cached_property
    def cloud(self) -> Cloud:
        """The plan's cloud, for its clock."""
        return connect(self.system, str(self.parameters.get("world", "")))

    def sign(self, role: str, reason: str, who: str | None, key: Path | None, override: str) -> Statement:
        """Sign, and write the approval into the store. Raises Refused, BadSettings."""
        if self.content["target"] == "google":
            require_committed()
        people = signers_of(self.system, self.content["target"])
        who, key = identity(self.system, people.target, role, who, key)
        incident = self.stored.file.terms.incident
        rule, now = self.rule, self.cloud.now()[0]
        require((not incident or is_open(self.store, people, incident, now), f"{incident} is not open here"))
        opening = opens(self.system.windows.get(rule.window), now, self.system.zone)
        more = {"rule": rule, "signers": people, "store": self.store, "now": now, "opening": opening}
        return approve(self.stored.raw, who, role, reason, key, override=override, **more)


def waiting(system: Settings) -> Iterator[Found]:
    """The valid plans of an environment that can still be signed, applied or not, by id."""
    store, now = store_of(system), connect(system).now()[0]
    for folder in store.children("plans"):
        with suppress(Refused):
            stored = newest_plan(store, folder.removeprefix("plans/"))
            if stored is None or stored.file.content["environment"] != system.environment:
                continue
            terms = stored.file.terms
            until = clock(terms.not_before) + timedelta(hours=terms.valid_hours)
            if now < until:
                yield Found(system, store, stored)


def find(plan: str) -> Found:
    """A plan by its id, from the store of any environment. Raises UnknownName, Refused."""
    looked = []
    for environment in environments():
        try:
            system = load_settings(environment)
        except BadSettings as error:  # such as a template: no plan can have been made with it
            looked.append(f"not in the store of {environment}: {error.what}")
            continue
        store = store_of(system)
        looked.append(str(store))
        stored = newest_plan(store, plan)
        if stored and stored.file.content["environment"] != environment:
            raise Refused(f"the plan {plan} is for another environment", f"it was found in the store of {environment}")
        if stored and stored.file.content["target"] != target(environment):
            given = {"plan": plan, "target": stored.file.content["target"], "store": store}
            raise Refused(**text_of(__file__, "another_target", **given))
        if stored:
            return Found(system, store, stored)
    raise UnknownName(**text_of(__file__, "no_plan", plan=plan, looked="; ".join(looked)))
