"""An approval counts for one plan, once, from people who may give it; every other way to get a plan applied is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook.approvals import stored_plan
from runbook.approvals.signers import Signers, demo_signers, load_signers, signers_of
from runbook.approvals.ssh import NAMESPACES, sign
from runbook.approvals.statement import Statement
from runbook.approvals.stored_plan import approve
from runbook.approvals.verify import approvals_of, check, consume, opens, terms_of
from runbook.config.load import load_settings
from runbook.config.schema import Window
from runbook.model.actions import AddVersion, RouteTraffic, RunOnce, SetJobState
from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import BadSettings, Exit, Refused, RunbookError
from runbook.model.operations import Rule
from runbook.model.plan import Change
from runbook.records.plans import Terms, clock
from runbook.records.store import Store

NOW = datetime(2026, 3, 10, 16, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PEOPLE = {
    "casey": ["manager", "team-lead"],
    "drew": ["security"],
    "robin": ["security", "manager"],
    "kim": ["team-lead", "on-call"],
}
RULES = {
    "secret": Rule(risk="high", signers=["manager", "security"], window="business_hours", valid_hours=24),
    "rollback": Rule(risk="medium", signers=["team-lead"], valid_hours=4, alone_in_p1=True),
    "deploy": Rule(risk="medium", signers=["team-lead"], valid_hours=24),
    "snapshot": Rule(risk="low", signers=[], valid_hours=24),
    "iam": Rule(risk="critical", signers=["security"], offered=False),
}


RUNBOOK = {"secret": "rotate_secret", "snapshot": "backup", "iam": "deploy"} | {n: n for n in ("rollback", "deploy")}
_ONCE = Change(
    RunOnce(function="hubspot-sync", job="hubspot-sync", repeat="safe"),
    "Not possible: rows that a run has written stay.",
)
CHANGES = {
    "secret": Change(AddVersion(secret="hubspot-api-key", before=3, after=4), "disable 4"),
    "rollback": Change(RouteTraffic(service="hubspot-sync", before={"a": 100}, after={"b": 100}), "back to a"),
    "deploy": _ONCE,
    "snapshot": Change(SetJobState(job="hubspot-sync", before="ENABLED", after="PAUSED"), "resume it"),
    "iam": _ONCE,
}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for person in [*PEOPLE, "mallory"]:
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(folder / person)], check=True)
    return folder


@dataclass
class Case:
    """Everything that `apply` has in its hands: at first all of it right, then each attack spoils one thing."""

    keys: Path
    folder: Path
    operation: str = "secret"
    target: str = "google"
    requester: str = "sam"
    incident: str = ""
    now: datetime = NOW
    opening: datetime = NOW
    by: str = "20260310T160000Z-rotate_secret-1f2e"
    approvals: list[bytes] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "records", shared=True)
        self.signers = self.folder / "approvers" / "production"
        self.signers.mkdir(parents=True)
        self.name({p: p for p in PEOPLE})
        self.content = {
            "operation": self.operation,
            "environment": "production",
            "project": "acme-sales",
            "target": self.target,
            "commit": "c" * 40,
            "reason": "the token expired",
            "runbook": RUNBOOK[self.operation],
            "parameters": {"environment": "production", "reason": "the token expired"},
            "changes": [CHANGES[self.operation].plain()],
            "relies_on": {"versions": {"3": "ENABLED"}},
        }

    def name(self, people: dict[str, str], options: str = "") -> None:
        """Write the signers' files: user → whose key."""
        space = NAMESPACES[self.target]
        lines = [f'{p} namespaces="{space}"{options} {self.public(k)}' for p, k in people.items()]
        (self.signers / "allowed_signers").write_text("".join(lines))
        roles = {p: PEOPLE.get(p, ["manager"]) for p in people}
        (self.signers / "roles.yaml").write_text(json.dumps({"people": roles}))

    def public(self, person: str) -> str:
        return (self.keys / f"{person}.pub").read_text()

    @property
    def terms(self) -> Terms:
        rule = RULES[self.operation]
        return terms_of(rule, self.requester, self.opening, self.incident).model_copy(update=self.changes)

    def who(self) -> Signers:
        return load_signers(self.signers, self.target, "production", ("manager", "security", "team-lead", "on-call"))

    def statement(self, person: str, role: str, **changes: Any) -> dict[str, Any]:
        start = changes.pop("start", NOW)
        return {
            **{k: self.content[k] for k in ("operation", "environment", "project", "target")},
            **{"schema": 1, "plan": plan_id(self.content), "risk": self.terms.risk, "requester": self.requester},
            **{
                "approver": person,
                "role": role,
                "break_glass": False,
                "override": "",
                "reason": "seen and right",
                "incident": "",
            },
            **{"nonce": os.urandom(16).hex(), "store": self.store.name},
            "not_before": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "expires_at": f"{start + timedelta(hours=self.terms.valid_hours):%Y-%m-%dT%H:%M:%SZ}",
            **changes,
        }

    def raw(self, text: bytes, key: str, space: str = "") -> bytes:
        """An approval file for any text, signed by anybody's key."""
        target = space or self.target
        return canonical({"statement": text.decode(), "signature": sign(text, self.keys / key, target)})

    def signed(self, person: str, role: str, key: str = "", **changes: Any) -> bytes:
        return self.raw(canonical(self.statement(person, role, **changes)), key or person)

    def give(self, *approvals: bytes) -> None:
        self.approvals = list(approvals)

    def plan(self, **changes: Any) -> bytes:
        plan = {"schema": 1, "id": plan_id(self.content), "content": self.content, "terms": self.terms.model_dump()}
        return json.dumps(plan | changes).encode()

    def approve(self, person: str, role: str, **changes: Any) -> Statement:
        """What `runbook approve` does."""
        given = {"plan_file": self.plan(), "reason": "seen and right", "key": self.keys / person, "store": self.store}
        given |= {"rule": RULES[self.operation], "now": self.now, "opening": self.opening, "signers": self.who()}
        given |= changes
        seen = {name: given.pop(name) for name in ("store", "rule", "now", "opening")}
        found = SimpleNamespace(stored=SimpleNamespace(raw=given.pop("plan_file")), **seen)
        return approve(found, person=person, role=role, **given)

    def apply(self) -> tuple[Statement, ...]:
        """What `runbook apply` does before the first write."""
        accepted = check(
            self.content, self.terms, self.approvals, self.who(), self.now, opening=self.opening, store=self.store.name
        )
        consume(self.store, accepted, plan_id(self.content), self.by, self.now)
        return accepted


@pytest.fixture
def case(keys: Path, tmp_path: Path) -> Callable[..., Case]:
    def make(**given: Any) -> Case:
        made = Case(keys, tmp_path, **given)
        if made.operation == "secret":
            made.give(made.signed("casey", "manager"), made.signed("drew", "security"))
        return made

    return make


# --- what is accepted -------------------------------------------------------------------------------------------------


def test_two_people_in_two_roles_are_accepted_once(case: Callable[..., Case]) -> None:
    plan = case()
    assert [(s.approver, s.role) for s in plan.apply()] == [("casey", "manager"), ("drew", "security")]
    assert plan.store.list("nonces") == sorted(f"nonces/{s.nonce}" for s in plan.apply())
    used = json.loads(plan.store.read(plan.store.list("nonces")[0]))
    assert used == {"plan": plan_id(plan.content), "by": plan.by}


def test_what_approve_signs_is_what_apply_accepts(case: Callable[..., Case]) -> None:
    plan = case()
    given = [plan.approve("casey", "manager"), plan.approve("drew", "security")]
    plan.approvals = approvals_of(plan.store, plan_id(plan.content))
    assert len(plan.approvals) == 2
    assert set(plan.apply()) == set(given)
    assert given[0].not_before == "2026-03-10T16:00:00Z"
    assert given[0].expires_at == "2026-03-11T16:00:00Z"
    assert given[0].review_by is None


def test_a_crashed_apply_resumes_until_its_approval_expires(case: Callable[..., Case]) -> None:
    plan = case()
    first = plan.apply()
    plan.now = NOW + 23 * HOUR
    assert plan.apply() == first
    with pytest.raises(Refused, match="expired at"):
        consume(plan.store, first, plan_id(plan.content), plan.by, NOW + 24 * HOUR)


def test_a_crash_between_two_nonces_resumes(case: Callable[..., Case]) -> None:
    plan = case()
    accepted = check(plan.content, plan.terms, plan.approvals, plan.who(), NOW, opening=NOW, store=plan.store.name)
    consume(plan.store, accepted[:1], plan_id(plan.content), plan.by, NOW)
    assert plan.apply() == accepted


def test_the_requester_on_call_breaks_the_glass_in_a_p1(case: Callable[..., Case]) -> None:
    plan = case(operation="rollback", requester="kim", incident="INC-7")
    given = plan.approve("kim", "on-call")
    plan.approvals = approvals_of(plan.store, plan_id(plan.content))
    assert plan.apply() == (given,)
    assert given.break_glass
    assert (given.reason, given.incident) == ("seen and right", "INC-7")
    assert given.review_by == NOW + 24 * HOUR


def test_low_risk_needs_nobody(case: Callable[..., Case]) -> None:
    plan = case(operation="snapshot")
    assert plan.apply() == ()
    assert check(plan.content, plan.terms, [], None, NOW, opening=NOW, store="") == ()


def test_one_person_with_two_roles_leaves_the_other_role_to_another(case: Callable[..., Case]) -> None:
    plan = case()
    plan.give(plan.signed("robin", "manager"), plan.signed("robin", "security"), plan.signed("casey", "manager"))
    assert [(s.approver, s.role) for s in plan.apply()] == [("casey", "manager"), ("robin", "security")]


def test_a_role_that_is_asked_for_twice_takes_two_people(case: Callable[..., Case]) -> None:
    plan = case(changes={"signers": ["manager", "manager"]})
    plan.give(plan.signed("casey", "manager"), plan.signed("casey", "manager"))
    with pytest.raises(Refused, match="is not approved"):
        plan.apply()
    plan.approvals.append(plan.signed("robin", "manager"))
    assert {s.approver for s in plan.apply()} == {"casey", "robin"}


def test_approvals_that_do_not_hold_do_no_harm(case: Callable[..., Case]) -> None:
    plan = case()
    plan.approvals = [b"", b"{}", plan.signed("casey", "manager", start=NOW - 30 * HOUR), *plan.approvals]
    assert len(plan.apply()) == 2


def test_a_fresh_approval_goes_before_a_used_one(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = case(operation="deploy")
    for nonce in ("0" * 32, "f" * 32):
        monkeypatch.setattr(stored_plan, "secrets", SimpleNamespace(token_hex=lambda _, nonce=nonce: nonce))
        plan.approve("casey", "team-lead")
        plan.approvals = approvals_of(plan.store, plan_id(plan.content))
        assert plan.apply()[0].nonce == nonce
        plan.by = "another run"


def test_the_sandbox_accepts_its_own_people_and_a_store_of_its_own(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    who = signers_of(load_settings("sandbox"), "sandbox")
    store = Store(tmp_path / "store")
    plan = Case(keys, tmp_path, operation="deploy", target="sandbox")
    plan.content |= {"environment": "sandbox", "parameters": {**plan.content["parameters"], "environment": "sandbox"}}
    given = plan.approve(
        "avery", "team-lead", key=tmp_path / "rehearsal" / "approvers" / "avery", signers=who, store=store
    )
    accepted = check(plan.content, plan.terms, approvals_of(store, given.plan), who, NOW, opening=NOW, store=store.name)
    consume(store, accepted, given.plan, "run", NOW)
    assert accepted == (given,)


# --- attacks on apply -------------------------------------------------------------------------------------------------


def _bytes(plan: Case, old: bytes, new: bytes) -> None:
    assert old in plan.approvals[0]
    plan.approvals[0] = plan.approvals[0].replace(old, new)


def _signature(plan: Case) -> None:
    data = json.loads(plan.approvals[0])
    middle = len(data["signature"]) - 60
    other = "A" if data["signature"][middle] != "A" else "B"
    data["signature"] = data["signature"][:middle] + other + data["signature"][middle + 1 :]
    plan.approvals[0] = canonical(data)


def _text(plan: Case, edit: Callable[[str], str]) -> None:
    """The first statement, written in another way and signed as it is then."""
    text = canonical(plan.statement("casey", "manager")).decode()
    assert edit(text) != text
    plan.approvals[0] = plan.raw(edit(text).encode(), "casey")


def _first(**changes: Any) -> Callable[[Case], None]:
    """The first approval with something else in its statement, properly signed."""

    def spoil(plan: Case) -> None:
        plan.approvals[0] = plan.signed("casey", "manager", **changes)

    return spoil


def _set(**values: Any) -> Callable[[Case], None]:
    return lambda plan: [setattr(plan, name, value) for name, value in values.items()] and None


def _content(**changes: Any) -> Callable[[Case], None]:
    return lambda plan: plan.content.update(changes)


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def _replay(plan: Case) -> None:
    plan.apply()
    plan.by = "another run"


def _same_nonce(plan: Case) -> None:
    same = "a" * 32
    plan.give(plan.signed("casey", "manager", nonce=same), plan.signed("drew", "security", nonce=same))


def _copied_store(plan: Case) -> None:
    plan.store.create("copied", b"")
    shutil.copytree(plan.store.files.folder, plan.folder / "copy")
    plan.apply()
    plan.store, plan.by = Store(plan.folder / "copy", shared=True), "another run"


def _other_key_type(plan: Case) -> None:
    plan.name({"casey": "casey", "drew": "drew"})
    plan.give(plan.signed("casey", "manager"), plan.signed("robin", "security", key="drew"))


ATTACKS: dict[str, tuple[Callable[[Case], Any], str]] = {
    "replay": (_replay, "was already used by another run"),
    "replay with another store": (
        lambda p: (p.apply(), _set(store=Store(p.folder / "b", shared=True))(p)),
        "given for another record store",
    ),
    "replay with a copy of the store": (_copied_store, "given for another record store"),
    "google with a store of one machine": (lambda p: setattr(p.store, "shared", False), "need a shared record store"),
    "another plan": (_first(plan="0" * 64), "casey approved plan 000000000000; the plan is now"),
    "the plan moved": (_content(relies_on={"versions": {"3": "DISABLED"}}), "the plan is now"),
    "other changes": (_content(changes=[]), "the plan is now"),
    "another commit": (_content(commit="d" * 40), "the plan is now"),
    "changed byte in the statement": (lambda p: _bytes(p, b"seen", b"been"), "does not fit the statement"),
    "changed byte in the signature": (_signature, "does not fit the statement"),
    "another target": (_first(target="sandbox"), "approved it for another target"),
    "another environment": (_first(environment="staging"), "approved it for another environment"),
    "another operation": (_first(operation="deploy"), "approved it for another operation"),
    "another project": (_first(project="acme-other"), "approved it for another project"),
    "another risk": (_first(risk="low"), "approved it as low risk; it is high risk"),
    "another requester": (_first(requester="alex"), "approved it for alex to apply"),
    "no requester": (_first(requester=""), "approved it for no one to apply"),
    "self-approval": (lambda p: (_set(requester="casey")(p), _first()(p)), "cannot approve their own request"),
    "self-approval under an e-mail address": (
        lambda p: (_set(requester="Casey@example.com")(p), _first()(p)),
        "cannot approve their own request",
    ),
    "one key for two people": (lambda p: p.name({"casey": "casey", "drew": "casey"}), "drew has the same key as casey"),
    "another's key": (_first(key="drew"), "the key that signed is not one of casey's keys"),
    "a stranger's key": (_first(key="mallory"), "the key that signed is not one of casey's keys"),
    "a stranger": (lambda p: p.give(p.signed("mallory", "manager")), "'mallory' is none of those who may sign"),
    "one person in two roles": (
        lambda p: p.give(p.signed("robin", "manager"), p.signed("robin", "security")),
        "one person, or one key, cannot sign for two roles",
    ),
    "one person under two names": (
        lambda p: (
            p.name({"robin": "robin", "Robin@example.com": "kim"}),
            p.give(p.signed("Robin@example.com", "manager", key="kim"), p.signed("robin", "security")),
        ),
        "one person, or one key, cannot sign for two roles",
    ),
    "expired": (_set(now=NOW + 24 * HOUR, opening=NOW), "the approval of casey expired at 2026-03-11T16:00:00Z"),
    "not yet valid": (_set(now=NOW - HOUR, opening=NOW - HOUR), "takes effect at 2026-03-10T16:00:00Z"),
    "outside the window": (_set(opening=NOW + HOUR), "has no override: the preferred window opens at"),
    "longer than allowed": (_first(expires_at="2026-04-10T16:00:00Z"), "an approval is valid for 24 hours"),
    "endless": (
        _first(not_before="2000-01-01T00:00:00Z", expires_at="2999-12-31T00:00:00Z"),
        "an approval is valid for 24 hours",
    ),
    "another namespace": (
        lambda p: p.approvals.__setitem__(0, p.raw(canonical(p.statement("casey", "manager")), "casey", "sandbox")),
        "the signature of casey is for another namespace",
    ),
    "revoked signer": (
        lambda p: (p.signers / "revoked").write_text(p.public("casey")),
        "the key that signed for casey is revoked",
    ),
    "removed signer": (lambda p: p.name({"drew": "drew"}), "'casey' is none of those who may sign"),
    "replaced key": (
        lambda p: p.name({"casey": "mallory", "drew": "drew"}),
        "the key that signed is not one of casey's keys",
    ),
    "key past its end": (
        lambda p: p.name({q: q for q in PEOPLE}, ',valid-before="202603101600Z"'),
        "the key of casey has expired",
    ),
    "key before its start": (
        lambda p: p.name({q: q for q in PEOPLE}, ',valid-after="202603101601Z"'),
        "the key of casey is not yet valid",
    ),
    "backdated to when the key was valid": (
        lambda p: (p.name({q: q for q in PEOPLE}, ',valid-before="20260310Z"'), _first(start=NOW - 20 * HOUR)(p)),
        "the key of casey has expired",
    ),
    "signers file is a link": (lambda p: _link(p.signers / "allowed_signers"), "allowed_signers: is a symbolic link"),
    "signers folder is a link": (lambda p: _link(p.signers), "production: is a symbolic link"),
    "wildcard principal": (lambda p: p.name({"*": "mallory"}), "'*' must be one user name"),
    "anybody may write the signers": (
        lambda p: (p.signers / "allowed_signers").chmod(0o666),
        "anybody on this machine may write to it",
    ),
    "no signers": (lambda p: (p.signers / "allowed_signers").unlink(), "nobody may approve in production"),
    "signers of another environment": (
        lambda p: setattr(
            p,
            "who",
            lambda: load_signers(p.signers, "google", "staging", ("manager", "security", "team-lead", "on-call")),
        ),
        "these are not the signers for production",
    ),
    "quorum short": (lambda p: p.approvals.pop(), "not yet approved as security"),
    "empty approvals": (lambda p: p.give(), "not yet approved as manager"),
    "a role that the person has not": (
        lambda p: p.give(p.signed("casey", "security")),
        "casey does not have the role security",
    ),
    "a role that is not asked for": (lambda p: p.give(p.signed("casey", "team-lead")), "team-lead cannot approve this"),
    "break-glass for an operation without it": (
        lambda p: (
            _set(requester="kim", incident="INC-7")(p),
            p.give(p.signed("kim", "on-call", break_glass=True, incident="INC-7")),
        ),
        "cannot approve their own request",
    ),
    "break-glass by another than the requester": (
        _first(break_glass=True),
        "must say whether casey approves their own request",
    ),
    "plan content edited after signing": (lambda p: p.content["changes"][0].update(after=5), "the plan is now"),
    "terms: signers emptied": (
        lambda p: (p.changes.update(signers=[]), p.give()),
        "params name no approver for an operation of high risk",
    ),
    "terms: risk lowered": (lambda p: p.changes.update(risk="low"), "approved it as high risk; it is low risk"),
    "terms: hours lowered": (lambda p: p.changes.update(valid_hours=1.0), "an approval is valid for 1 hours"),
    "no reason": (_first(reason=""), "an approval must give a reason"),
    "a reason that moves the cursor": (
        _first(reason="x\x1b[2Ky"),
        "this statement is not valid: 1 validation error for Statement reason",
    ),
    "a reason that runs backwards": (
        _first(reason="x\u202ey"),
        "this statement is not valid: 1 validation error for Statement reason",
    ),
    "extra key": (_first(also="x"), "this statement is not valid: 1 validation error for Statement also"),
    "missing key": (
        lambda p: _text(p, lambda t: t.replace('"role":"manager",', "")),
        "this statement is not valid: 1 validation error for Statement role",
    ),
    "another schema": (_first(schema=2), "this statement is not valid: 1 validation error for Statement schema"),
    "a number for a word": (_first(reason=1), "this statement is not valid: 1 validation error for Statement reason"),
    "a short nonce": (_first(nonce="a"), "this statement is not valid: 1 validation error for Statement nonce"),
    "a nonce that is a path": (
        _first(nonce="../" * 10 + "aa"),
        "this statement is not valid: 1 validation error for Statement nonce",
    ),
    "no time": (
        _first(not_before="2026-02-30T00:00:00Z"),
        "this statement is not valid: 1 validation error for Statement not_before",
    ),
    "time with an offset": (
        _first(not_before="2026-03-10T16:00:00+00:00"),
        "this statement is not valid: 1 validation error for Statement not_before",
    ),
    "time in other digits": (
        _first(not_before="2026-03-1\u0660T16:00:00Z"),
        "this statement is not valid: 1 validation error for Statement not_before",
    ),
    "not canonical: space": (lambda p: _text(p, lambda t: t.replace(":", ": ", 1)), "not canonical JSON"),
    "not canonical: order": (
        lambda p: _text(p, lambda t: json.dumps(dict(reversed(json.loads(t).items())), separators=(",", ":"))),
        "not canonical JSON",
    ),
    "not canonical: escape": (lambda p: _text(p, lambda t: t.replace("seen", "\\u0073een")), "not canonical JSON"),
    "duplicate key in the statement": (
        lambda p: _text(p, lambda t: t.replace('"role":', '"role":"security","role":')),
        "this statement is not valid: duplicate key",
    ),
    "duplicate key in the file": (
        lambda p: _bytes(p, b'{"signature"', b'{"statement":"","signature"'),
        "this approval is not valid: duplicate key",
    ),
    "extra key in the file": (
        lambda p: _bytes(p, b'{"signature"', b'{"also":1,"signature"'),
        "this approval is not valid: 1 validation error for Approval also",
    ),
    "NaN": (
        lambda p: _text(p, lambda t: t.replace('"schema":1', '"schema":NaN')),
        "this statement is not valid: Out of range",
    ),
    "half a character": (
        lambda p: _bytes(p, b'"statement":"', b'"statement":"\\ud800'),
        "this approval is not valid: 'utf-8' codec can't encode",
    ),
    "no JSON": (lambda p: p.give(b"\xff\xfe"), "this approval is not valid: 'utf-8' codec can't decode"),
    "deep JSON": (lambda p: p.give(b"[" * 16000), "this approval is not valid: "),
    "huge file": (lambda p: p.give(b" " * 2**15), "this approval is not valid: it is larger than"),
    "two approvals with one nonce": (_same_nonce, "another approval has the same nonce"),
    "approval of the sandbox": (
        lambda p: p.approvals.__setitem__(
            0, p.raw(canonical(p.statement("casey", "manager", target="sandbox")), "casey", "sandbox")
        ),
        "the signature of casey is for another namespace",
    ),
    "signature of another statement": (
        lambda p: p.approvals.__setitem__(
            0, canonical({**json.loads(p.approvals[0]), "signature": json.loads(p.approvals[1])["signature"]})
        ),
        "does not fit the statement",
    ),
    "no signature": (
        lambda p: p.approvals.__setitem__(0, canonical({**json.loads(p.approvals[0]), "signature": ""})),
        "no SSH signature of an accepted kind",
    ),
    "somebody else's name on one's own key": (_other_key_type, "'robin' is none of those who may sign"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_apply(case: Callable[..., Case], attack: str) -> None:
    spoil, reason = ATTACKS[attack]
    plan = case()
    spoil(plan)
    before = plan.store.list("nonces")
    with pytest.raises((Refused, BadSettings)) as refusal:
        plan.apply()
    assert reason in str(refusal.value)
    assert "Nothing was changed." in str(refusal.value)
    assert refusal.value.exit in (Exit.REFUSED, Exit.BAD_INPUT)
    assert plan.store.list("nonces") == before


GLASS = {
    "no incident": ({"incident": ""}, {"incident": ""}, "only during an open P1 incident"),
    "another incident": ({}, {"incident": "INC-70"}, "kim approved it for another incident"),
    "no incident, although one is open": ({}, {"incident": ""}, "kim approved it for another incident"),
    "not on call": ({}, {"role": "team-lead"}, "can approve it alone only as on-call"),
    "says to be on call": ({"requester": "casey"}, {"approver": "casey"}, "casey does not have the role on-call"),
    "not said": ({}, {"break_glass": False}, "must say whether kim approves their own request"),
    "another person on call": ({"requester": "sam"}, {"break_glass": False}, "on-call cannot approve this"),
    "expired": ({"now": NOW + 4 * HOUR}, {}, "expired at"),
}


@pytest.mark.parametrize("attack", GLASS)
def test_breaking_the_glass_without_a_right_to(case: Callable[..., Case], attack: str) -> None:
    given, changes, reason = GLASS[attack]
    plan = case(**({"operation": "rollback", "requester": "kim", "incident": "INC-7"} | given))
    changes = {"approver": "kim", "role": "on-call", "break_glass": True, "incident": "INC-7"} | changes
    plan.give(plan.signed(changes.pop("approver"), changes.pop("role"), **changes))
    with pytest.raises(Refused) as refusal:
        plan.apply()
    assert reason in str(refusal.value)


def test_one_key_under_two_names_is_no_quorum_however_it_got_there(case: Callable[..., Case]) -> None:
    plan = case()
    right = plan.who()
    both = Signers("google", "production", {"casey": right.keys["casey"], "drew": right.keys["casey"]}, right.roles, ())
    approvals = [plan.signed("casey", "manager"), plan.signed("drew", "security", key="casey")]
    with pytest.raises(Refused, match="is not approved") as refusal:
        check(plan.content, plan.terms, approvals, both, NOW, opening=NOW, store=plan.store.name)
    assert "one person, or one key, cannot sign for two roles" in str(refusal.value)


def test_demo_keys_are_never_accepted_for_google(case: Callable[..., Case], tmp_path: Path) -> None:
    plan = case()
    demo = tmp_path / "rehearsal" / "approvers"
    demo_signers(demo)
    for name in ("allowed_signers", "roles.yaml"):
        (plan.signers / name).write_text((demo / name).read_text())
    with pytest.raises(BadSettings, match="the options must say"):
        plan.apply()


def test_approvals_for_another_plan_or_store_are_not_used_up(case: Callable[..., Case]) -> None:
    plan = case()
    accepted = check(plan.content, plan.terms, plan.approvals, plan.who(), NOW, opening=NOW, store=plan.store.name)
    with pytest.raises(Refused, match="this approval is for another plan"):
        consume(plan.store, accepted, "0" * 64, plan.by, NOW)
    for other, shared in (("other", True), ("records", False)):
        store = Store(plan.folder / other, shared=shared)
        with pytest.raises(Refused, match="given for another record store" if shared else "need a shared record store"):
            consume(store, accepted, plan_id(plan.content), plan.by, NOW)
        assert store.list("nonces") == []


def test_on_call_is_a_role_like_any_other_where_two_must_sign(case: Callable[..., Case]) -> None:
    plan = case(changes={"signers": ["on-call", "manager"]})
    plan.give(plan.signed("kim", "on-call"))
    with pytest.raises(Refused, match="is not approved") as refusal:
        plan.apply()
    assert "not yet approved as manager" in str(refusal.value)
    plan.approvals.append(plan.signed("casey", "manager"))
    assert [s.approver for s in plan.apply()] == ["kim", "casey"]


# --- attacks on approve -----------------------------------------------------------------------------------------------


def _edited(**changes: Any) -> Callable[[Case], dict[str, Any]]:
    """A plan whose first change was edited, under the id of its content as it is then."""

    def spoil(plan: Case) -> dict[str, Any]:
        plan.content["changes"][0].update(changes)
        return {"plan_file": plan.plan()}

    return spoil


REFUSED: dict[str, tuple[dict[str, Any], Callable[[Case], dict[str, Any]], str]] = {
    "edited content": (
        {},
        lambda p: {"plan_file": p.plan(content=p.content | {"changes": []})},
        "its id does not match its content",
    ),
    "edited id": ({}, lambda p: {"plan_file": p.plan(id="0" * 64)}, "its id does not match its content"),
    "risk lowered": (
        {},
        lambda p: {"plan_file": p.plan(terms={**p.terms.model_dump(), "risk": "low"})},
        "differ from the settings",
    ),
    "signers emptied": (
        {},
        lambda p: {"plan_file": p.plan(terms={**p.terms.model_dump(), "signers": []})},
        "differ from the settings",
    ),
    "terms with more": (
        {},
        lambda p: {"plan_file": p.plan(terms={**p.terms.model_dump(), "sure": True})},
        "this plan is not valid: 1 validation error for PlanFile terms.sure",
    ),
    "another schema": ({}, lambda p: {"plan_file": p.plan(schema=2)}, "this plan is not valid"),
    "content without a project": (
        {},
        lambda p: (p.content.pop("project"), {"plan_file": p.plan()})[1],
        "this plan is not valid: 1 validation error for Content project",
    ),
    "plan of a far year": (
        {},
        lambda p: {"plan_file": p.plan(terms={**p.terms.model_dump(), "not_before": "9999-12-31T23:59:59Z"})},
        "this plan is not valid: 1 validation error for PlanFile terms.not_before",
    ),
    "huge plan": ({}, lambda p: {"plan_file": b" " * (2**20 + 1)}, "this plan is not valid: it is larger than"),
    "expired plan": (
        {},
        lambda p: {"plan_file": p.plan(), "now": NOW + 24 * HOUR, "opening": NOW + 24 * HOUR},
        "the plan expired at 2026-03-11T16:00:00Z",
    ),
    "not offered": (
        {"operation": "deploy"},
        lambda p: {"rule": RULES["deploy"].model_copy(update={"offered": False})},
        "no runbook offers this operation",
    ),
    "shows another version than it adds": (
        {},
        _edited(after="version 5, checksum verified"),
        "plan's text differs from what it would do",
    ),
    "shows another secret than it changes": (
        {},
        _edited(args={"secret": "salesforce-client-id", "before": 3, "after": 4}),
        "plan's text differs from what it would do",
    ),
    "arguments beside those of the action": (
        {},
        _edited(args={"secret": "hubspot-api-key", "before": 3, "after": 4, "url": "x"}),
        "plan's text differs from what it would do",
    ),
    "no arguments": ({}, _edited(args=[]), "plan's text differs from what it would do"),
    "an action that there is not": ({}, _edited(action="delete table"), "plan's text differs from what it would do"),
    "a key more in a change": ({}, _edited(url="https://example.com"), "plan's text differs from what it would do"),
    "an action of another operation": (
        {},
        lambda p: (p.content.update(changes=[CHANGES["rollback"].plain()]), {"plan_file": p.plan()})[1],
        "secret of rotate_secret has no action 'route traffic'",
    ),
    "a runbook of another operation": (
        {},
        lambda p: (p.content.update(runbook="deploy"), {"plan_file": p.plan()})[1],
        "the plan names no runbook of its operation",
    ),
    "a notebook by its path": (
        {},
        lambda p: (p.content.update(runbook="/tmp/mine.ipynb"), {"plan_file": p.plan()})[1],
        "the plan names no runbook of its operation",
    ),
    "a reason that hides the plan": (
        {},
        lambda p: (p.content.update(reason="fine\x1b[2K\x1b[1A"), {"plan_file": p.plan()})[1],
        "not printable",
    ),
    "a way back that runs backwards": ({}, _edited(undo="\u202eyako"), "not printable"),
    "a parameter that runs backwards": (
        {},
        lambda p: (p.content["parameters"].update(reason="\u202eyako"), {"plan_file": p.plan()})[1],
        "not printable",
    ),
    "not a signer": (
        {},
        lambda p: {"person": "mallory", "key": p.keys / "mallory"},
        "'mallory' is not an approver of production",
    ),
    "role is not theirs": ({}, lambda p: {"role": "security"}, "casey does not have the role security"),
    "role is not asked for": ({}, lambda p: {"role": "team-lead"}, "team-lead cannot approve this"),
    "own request": ({"requester": "casey"}, lambda p: {}, "cannot approve their own request"),
    "own request in a P1 without on-call": (
        {"operation": "rollback", "requester": "casey", "incident": "INC-7"},
        lambda p: {"role": "team-lead"},
        "can approve it alone only as on-call",
    ),
    "own request without a P1": (
        {"operation": "rollback", "requester": "kim"},
        lambda p: {"person": "kim", "role": "on-call", "key": p.keys / "kim"},
        "only during an open P1 incident",
    ),
    "no reason": ({}, lambda p: {"reason": "  "}, "an approval must give a reason"),
    "two lines of reason": ({}, lambda p: {"reason": "a\nb"}, "this statement is not valid"),
    "another's key": ({}, lambda p: {"key": p.keys / "drew"}, "the key that signed is not one of casey's keys"),
    "no key": ({}, lambda p: {"key": p.keys / "nobody"}, "did not sign"),
    "a second role": (
        {},
        lambda p: (p.approve("robin", "security"), {"person": "robin", "key": p.keys / "robin"})[1],
        "robin has already signed this plan as security",
    ),
    "store of one machine": (
        {},
        lambda p: {"store": Store(p.folder / "alone")},
        "a record store that all machines share",
    ),
    "signers of the sandbox": (
        {},
        lambda p: {"signers": signers_of(load_settings("sandbox"), "sandbox")},
        "not the signers for the target google",
    ),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_approvals_that_are_not_given(case: Callable[..., Case], attack: str) -> None:
    given, spoil, reason = REFUSED[attack]
    plan = case(**given)
    changes = spoil(plan)
    before = plan.store.list("approvals")
    with pytest.raises(RunbookError) as refusal:
        plan.approve(**({"person": "casey", "role": "manager"} | changes))
    assert reason in str(refusal.value)
    assert refusal.value.exit is Exit.REFUSED
    assert plan.store.list("approvals") == before


def test_damaged_approvals_in_the_store_do_not_stop_another(case: Callable[..., Case]) -> None:
    plan = case()
    plan.store.create(f"approvals/{plan_id(plan.content)}/{'0' * 32}.json", b"{}")
    assert plan.approve("casey", "manager").role == "manager"


def test_outside_the_window_an_approval_waits_or_says_why(case: Callable[..., Case]) -> None:
    plan = case(opening=NOW + 2 * HOUR)
    assert plan.approve("casey", "manager").not_before == "2026-03-10T18:00:00Z"
    plan.approve("drew", "security")
    plan.approvals = approvals_of(plan.store, plan_id(plan.content))
    with pytest.raises(Refused, match="is not approved") as refusal:
        plan.apply()
    assert "takes effect at 2026-03-10T18:00:00Z" in str(refusal.value)
    now = [plan.approve(p, r, override="cannot wait") for p, r in (("casey", "manager"), ("drew", "security"))]
    assert {s.not_before for s in now} == {"2026-03-10T16:00:00Z"}
    plan.approvals = approvals_of(plan.store, plan_id(plan.content))
    assert set(plan.apply()) == set(now)


def test_inside_the_window_an_override_is_not_signed(case: Callable[..., Case]) -> None:
    assert case().approve("casey", "manager", override="whatever").override == ""


# --- the preferred window, and ids ------------------------------------------------------------------------------------

CHICAGO = ZoneInfo("America/Chicago")
MORNING = Window(days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], start="06:00", end="07:00")
OFFICE = Window(days=["mon", "tue", "wed", "thu", "fri"], start="09:00", end="17:00")
WEEKEND = Window(days=["sat", "sun"], start="00:00", end="24:00")
NIGHT = Window(days=["fri"], start="22:00", end="02:00")
GAP = Window(days=["sun"], start="02:00", end="03:00")
OPENS = [  # window, now, when it opens ("" = it is open); local times
    (None, "2026-03-10T03:00", ""),
    (MORNING, "2026-03-10T05:59:59", "2026-03-10T06:00"),
    (MORNING, "2026-03-10T06:00", ""),
    (MORNING, "2026-03-10T06:59:59", ""),
    (MORNING, "2026-03-10T07:00", "2026-03-11T06:00"),
    (MORNING, "2026-03-07T12:00", "2026-03-08T06:00"),  # the night is an hour shorter
    (MORNING, "2026-10-31T12:00", "2026-11-01T06:00"),  # the night is an hour longer
    (OFFICE, "2026-03-06T17:00", "2026-03-09T09:00"),  # Friday evening → Monday, after the change of the clocks
    (OFFICE, "2026-03-09T09:00", ""),
    (WEEKEND, "2026-03-06T23:59", "2026-03-07T00:00"),
    (WEEKEND, "2026-03-08T23:59", ""),
    (WEEKEND, "2026-03-09T00:00", "2026-03-14T00:00"),
    (NIGHT, "2026-03-07T01:59", ""),  # Saturday: still Friday's window
    (NIGHT, "2026-03-07T02:00", "2026-03-13T22:00"),
    (GAP, "2026-03-07T12:00", "2026-03-15T02:00"),  # on the 8th there is no hour from 2 to 3
]


@pytest.mark.parametrize(("window", "now", "opening"), OPENS, ids=[f"{n}" for n in range(len(OPENS))])
def test_when_a_window_opens(window: Window | None, now: str, opening: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=CHICAGO).astimezone(UTC)
    expected = datetime.fromisoformat(opening).replace(tzinfo=CHICAGO).astimezone(UTC) if opening else moment
    assert opens(window, moment, CHICAGO) == expected


def test_a_window_that_never_opens_is_refused() -> None:
    with pytest.raises(Refused, match="never opens"):
        opens(Window(days=[], start="06:00", end="07:00"), NOW, CHICAGO)


def test_times_are_written_in_utc_whatever_zone_they_came_in(case: Callable[..., Case]) -> None:
    plan = case(now=NOW.astimezone(CHICAGO), opening=NOW.astimezone(CHICAGO))
    assert plan.approve("casey", "manager").not_before == "2026-03-10T16:00:00Z"
    assert clock("2026-03-10T16:00:00Z") == NOW
