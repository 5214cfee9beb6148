"""A plan in a record store, or in a file that somebody sent: find it, show it to its approver, and sign it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook.approvals import verify
from runbook.approvals.signed import identity, is_open
from runbook.approvals.signers import Signers, require_role, signers_of
from runbook.approvals.ssh import sign
from runbook.approvals.statement import Approval, Statement, same_person_key, statement_of
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config import Settings, environments, load_settings
from runbook.data_file import text_of
from runbook.model import BadInput, BadSettings, NoRecord, Refused, UnknownName, canonical, require
from runbook.model.actions import ACTIONS
from runbook.model.operations import Rule
from runbook.records import Store, person, require_committed, store_of
from runbook.records.plans import Stored, clock, newest_plan, parse, plan_of, utc_text


@dataclass(frozen=True)
class Found:
    """A valid plan file, and the environment whose store it is in."""

    system: Settings
    store: Store
    stored: Stored

    @property
    def content(self) -> dict[str, Any]:
        return self.stored.file.content

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
        begins = self.opening.astimezone(self.system.zone)
        return f"{window.text}; from {begins:%a %Y-%m-%d %H:%M %Z}" if window else "any"

    @property
    def opening(self) -> datetime:
        """When an approval signed now takes effect."""
        return verify.opens(self.system.windows.get(self.rule.window), self.now, self.system.zone)

    @property
    def needs_secret(self) -> bool:
        """Whether a change adds a version of a secret."""
        return any(ACTIONS[change["action"]].needs_secret for change in self.content["changes"])

    def require_signature(self) -> None:
        """Raise Refused unless whoever works here made it, and at least one permitted signer has signed it for them.

        If no approval is required, anybody may apply it.

        The plan's parameters decide what runs, such as a folder of code. Without a signature, anyone who can write to
        the store could have set them.
        """
        required, by = self.rule.signers, self.stored.file.terms.requester
        if required and by != person():
            raise verify.not_for_you(self.content, person(), [by])
        if required and not self.signed[0]:
            by_role, terms = {role: [] for role in required}, self.stored.file.terms
            raise verify.not_approved(self.content, terms, by_role, [], self.signed[1].copy())

    @cached_property
    def signed(self) -> tuple[list[str], list[str]]:
        """See `signed_roles`."""
        people = signers_of(self.system, self.content["target"])
        return verify.signed_roles(self.stored.file, self.rule, people, self.store, datetime.now(UTC))

    @cached_property
    def now(self) -> datetime:
        """The time of the plan's cloud."""
        return connect(self.system, str(self.parameters.get("world", ""))).now()[0]

    def require_signer(self, role: str, reason: str, who: str | None, key: Path | None, override: str) -> None:
        """Raise Refused or BadSettings for what `sign` would refuse; nothing is signed."""
        signers, who, _ = self._signer(role, who, key)
        if signers.keys:  # else there are no params here
            require_role(signers, self.rule, who, role)
        _statement(self, role, reason, signers, who, override)

    def sign(self, role: str, reason: str, who: str | None, key: Path | None, override: str) -> Statement:
        """Sign, and write the approval into the store. Raises Refused, BadSettings."""
        return approve(self, role, reason, *self._signer(role, who, key), override)

    def _signer(self, role: str, who: str | None, key: Path | None) -> tuple[Signers, str, Path]:
        """Who may sign here, and who signs with which key."""
        if self.content["target"] == "google":
            require_committed()
        people, incident = signers_of(self.system, self.content["target"]), self.stored.file.terms.incident
        require((not incident or is_open(self.store, people, incident, self.now), f"{incident} is not open here"))
        return people, *identity(self.system, people.target, role, who, key)


class PlanAlone(Found):
    """A plan in a file that somebody sent, for an approver without params and without the record store.

    It is judged by the terms in the file, and times are this machine's. `accept` and `apply` compare them with params.
    """

    @property
    def rule(self) -> Rule:
        return Rule.model_validate(self.stored.file.terms.model_dump(exclude={"not_before", "requester", "incident"}))

    @property
    def opening(self) -> datetime:
        return max(self.now, clock(self.stored.file.terms.not_before))

    @property
    def preferred(self) -> str:
        return f"{self.rule.window or 'any'}; from {self.opening:%a %Y-%m-%d %H:%M} UTC"

    @cached_property
    def now(self) -> datetime:
        """This machine's time; of a plan of the sandbox, whose clock is another one, the time when it was made."""
        return clock(self.stored.file.terms.not_before) if self.content["target"] == "sandbox" else datetime.now(UTC)

    def _signer(self, role: str, who: str | None, key: Path | None) -> tuple[Signers, str, Path]:
        content, requester = self.content, self.stored.file.terms.requester
        if content["target"] == "google":
            require_committed(with_params=False)
        who, key = identity(None, "", role, who, key)
        alone = same_person_key(who) == same_person_key(requester)
        require((not alone, f"{who} requested it; only with the record store can it be seen whether that is allowed"))
        return Signers(content["target"], content["environment"], {}, {who: frozenset({role})}, ()), who, key


def approve(
    found: Found, role: str, reason: str, signers: Signers, person: str, key: Path, override: str = ""
) -> Statement:
    """Sign a plan as `person` in `role`, and write the approval into the store as approvals/<plan>/<nonce>.json.

    It takes effect at the opening of the preferred window; with an `override` reason, now. The rule and the opening
    come from the approver's own settings. Raises Refused, also unless the terms in the file are those of the settings.
    """
    statement = _statement(found, role, reason, signers, person, override)
    text = canonical(statement.model_dump(by_alias=True))
    signature = sign(text, key, statement.target)
    if signers.keys:  # else there are no params here, and it is verified when it is accepted
        signers.verify(person, text, signature, found.now)
    signed = canonical({"statement": text.decode(), "signature": signature})
    found.store.create(f"approvals/{statement.plan}/{statement.nonce}.json", signed)
    return statement


def _statement(found: Found, role: str, reason: str, signers: Signers, person: str, override: str) -> Statement:
    """What `approve` signs. Raises Refused unless all its rules are met."""
    file, rule, store, now = plan_of(found.stored.raw), found.rule, found.store, found.now
    terms = verify.current_terms(file, rule)
    lasts = timedelta(hours=terms.valid_hours)
    expires = clock(terms.not_before) + lasts
    google = file.content.get("target") == "google"
    require(
        (rule.offered, "no runbook offers this operation, so it cannot be approved"),
        (file.terms == terms, "the terms in the plan file differ from the settings: one of them was edited"),
        (now < expires, f"the plan expired at {utc_text(expires)}; make a new one"),
        (store.shared or not google, "an approval for Google needs a record store that all machines share"),
    )
    alone = same_person_key(person) == same_person_key(terms.requester)
    override = override.strip() if found.opening > now else ""
    start = now if override else found.opening
    values = {name: file.content.get(name) for name in ("operation", "environment", "project", "target")}
    values |= {"schema": 1, "plan": file.id, "risk": terms.risk, "requester": terms.requester, "store": store.name}
    values |= {"approver": person, "role": role, "break_glass": alone, "nonce": secrets.token_hex(16)}
    values |= {"reason": reason.strip(), "override": override, "incident": terms.incident if alone else ""}
    statement = statement_of(canonical(values | {"not_before": utc_text(start), "expires_at": utc_text(start + lasts)}))
    require(*verify.rules(statement, file.content, terms, signers))
    for before in verify.statements_of(store, file.id):
        theirs = same_person_key(before.approver) == same_person_key(person) and now < clock(before.expires_at)
        require((not theirs or before.role == role, f"{person} has already signed this plan as {before.role}"))
    return statement


def from_file(path: Path) -> Found:
    """The plan in a file, which is judged alone; an approval of it is written beside it. Raises Refused, BadInput."""
    raw = _content(path, 2**20)
    file = plan_of(raw)
    require((file.store, "this plan file does not say for which record store it is; plan again"))
    store = Store(path.parent, shared=True)
    store.name = file.store
    return PlanAlone(None, store, Stored(raw, file, ()))


def accept(path: Path) -> Statement:
    """Put an approval that was signed from a plan file alone into the plan's store. Raises Refused for any other."""
    raw = _content(path, 2**14)
    found = find(statement_of(parse(raw, "approval", 2**14, Approval).statement.encode()).plan)
    people = signers_of(found.system, found.content["target"])
    terms = verify.current_terms(found.stored.file, found.rule)
    one, _ = verify.statement_in(raw, found.content, terms, people, found.now)
    require(
        (one.store == found.store.name, "this approval was given for another record store"),
        (not one.break_glass, "an approval of one's own request is signed in the record store"),
        (found.now < clock(one.expires_at), f"it expired at {one.expires_at}"),
    )
    found.store.create(f"approvals/{one.plan}/{one.nonce}.json", raw)
    return one


def _content(path: Path, limit: int) -> bytes:
    """The content of a file, and no more than its parser refuses. Raises BadInput."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read", error.strerror or str(error)) from None


def waiting(system: Settings, damaged: list[str]) -> Iterator[Found]:
    """The valid plans of an environment that can still be signed, applied or not, by id; others go into `damaged`."""
    store, now = store_of(system), connect(system).now()[0]
    for folder in store.children("plans"):
        try:
            stored = newest_plan(store, folder.removeprefix("plans/"))
        except Refused as refusal:
            damaged += refusal.observed.splitlines()
            continue
        if stored is None or stored.file.content["environment"] != system.environment:
            continue
        damaged += stored.ignored
        terms = stored.file.terms
        if now < clock(terms.not_before) + timedelta(hours=terms.valid_hours):
            yield Found(system, store, stored)


def find(plan: str, requester: str = "") -> Found:
    """A plan by its id, from the store of its environment; as this requester made it, if they did.

    Raises UnknownName, Refused, NoRecord.

    What is wrong in the store of another environment stops nobody: it is among what was `ignored`.
    """
    looked, wrong = [], list[Refused | NoRecord]()
    for environment in environments():
        try:
            system = load_settings(environment)
            store = store_of(system)
            looked.append(str(store))
            if stored := newest_plan(store, plan, requester):
                _require_of(environment, store, plan, stored.file.content)
                ignored = (*stored.ignored, *(f"{one.what}: {one.observed}" for one in wrong))
                return Found(system, store, stored._replace(ignored=ignored))
        except BadSettings as error:  # such as a template: no plan can have been made with it
            looked.append(f"not in the store of {environment}: {error.what}")
        except (Refused, NoRecord) as error:
            wrong.append(error)
    if wrong:
        raise wrong[0]
    raise UnknownName(**text_of(__file__, "no_plan", plan=plan, looked="; ".join(looked)))


def _require_of(environment: str, store: Store, plan: str, content: dict[str, Any]) -> None:
    """Raise Refused for a plan of another environment or target than that of its store."""
    if content["environment"] != environment:
        raise Refused(f"the plan {plan} is for another environment", f"it was found in the store of {environment}")
    if content["target"] != target(environment):
        raise Refused(**text_of(__file__, "another_target", plan=plan, target=content["target"], store=store))
