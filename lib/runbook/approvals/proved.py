"""Whether a record in the store is as it was written, and whether what it changed was approved then.

The files must have the digests in record.json. Somebody who may replace files can write these anew, but not a
signature: so the approvals that were used are copied into the record with what was signed, and verified with the keys
of that time.

    approvals.json   {"at", "store", "content", "terms", "approvals": [{"statement", "signature"}, …]}

Its terms are anybody's words. What they allow counts only as far as today's params allow it, too: the times and signers
of an approval are signed, so an old record is still proved if it kept to today's rules.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import takewhile
from typing import Any

from runbook.approvals.signed import is_open
from runbook.approvals.signers import signers_of
from runbook.approvals.verify import check, signed_roles, used_by
from runbook.cloud.target import target
from runbook.config.load import load_settings
from runbook.model import Broken, RunbookError, canonical, plan_id, require
from runbook.model.actions import Notify, RunOnce
from runbook.model.strict import Part
from runbook.records import Examined, Store, mapping, rows_in, rows_of
from runbook.records.files import data_of
from runbook.records.plans import Content, Line, Terms, When, clock, newest_plan, parse, plan_of

FILE = "approvals.json"
CHANGED = ("APPLY", "INTENT", "WRITE", "RESULT")  # rows of a journal that only an approved run has


class Copied(Part):
    """The approvals that a run used, with what was signed: the content and the terms of the plan, and when."""

    at: When
    store: Line
    content: dict[str, Any]
    terms: Terms
    approvals: list[dict[str, str]]


def faults(store: Store, found: Examined) -> tuple[str, ...]:
    """What is wrong with a record that was read, one line each; () for one that is proved.

    Raises NoRecord if the store does not answer.
    """
    return found.faults or tuple(_unapproved(store, found))


def _unapproved(store: Store, found: Examined) -> Iterator[str]:
    """Why the changes of a record are not proved to be approved; nothing for a record without changes.

    What a reader would see is parsed as readers do: a search in the text would miss an escaped letter.
    """
    try:
        rows = rows_of(found.files.get("journal.jsonl", b""), "journal.jsonl")
        outcome = mapping(mapping(data_of(found.files.get("report.json") or b"{}")).get("outcome"))
        changed = [row for row in rows if row["kind"] in CHANGED]
        result, named = outcome.get("result"), changed or outcome.get("approvals") or FILE in found.files
        if result in ("failed", "unknown") and not named:
            _require_abandoned(store, found, outcome)
        elif named or outcome.get("changes") or result not in (None, "planned", "nothing to do", "refused"):
            _require_approved(store, found, changed, outcome)
    except Broken as error:
        yield f"{error.what}: {error.observed}"
    except (RunbookError, LookupError, TypeError, AttributeError, ValueError) as error:
        lines = (error.what, *error.observed.splitlines()) if isinstance(error, RunbookError) else (repr(error),)
        yield f"its changes are not proved to be approved: {'; '.join(lines)}"


def _require_approved(store: Store, found: Examined, rows: list[Any], outcome: dict[str, Any]) -> None:
    """Raise Refused unless the copied approvals allowed these changes when they were made, by the keys of that time."""
    copied = parse(found.files.get(FILE, b""), "copy of the approvals", 2**21, Copied)
    content, terms, at = parse(canonical(copied.content), "plan", 2**20, Content), copied.terms, clock(copied.at)
    said = {"schema": 1, "id": plan_id(copied.content), "content": copied.content, "terms": terms.model_dump()}
    plan_of(canonical(said))  # each action is one of its operation, and only an operation says who signs
    system = load_settings(content.environment)
    begun = [r for r in rows if r["kind"] == "INTENT" and r["change"]["action"] != Notify.action]  # which tell the end
    rule, plan = system.operations.get(content.operation), plan_id(copied.content)
    runs = [row["args"]["function"] for row in copied.content["changes"] if row["action"] == RunOnce.action]
    alone = terms.incident and rule and rule.alone_in_p1 and all(system.named(name).repeat == "safe" for name in runs)
    terms = terms.model_copy(update={"alone_in_p1": terms.alone_in_p1 and bool(alone)})
    require(
        (content.environment == found.record["parameters"]["environment"], "they are for another environment"),
        (rule, f"params do not know the operation {content.operation}"),
        (terms.signers or (rule and rule.risk == "low"), "params say that somebody must sign it"),
        (rule and set(rule.signers) <= set(terms.signers), "params ask for more signatures than its terms"),
        (all(plan.startswith(row["plan"]) for row in rows), "the journal names another plan"),
        (all(row["change"] in copied.content["changes"] for row in begun), "the journal names other changes"),
        (outcome.get("plan", plan) == plan, "the report names another plan"),
        (not outcome.get("changes") or _changes(outcome) == _changes(copied.content), "the report names other changes"),
    )
    signers = signers_of(system, target(content.environment)) if rule and rule.signers else None
    require((not terms.incident or (signers and is_open(store, signers, terms.incident, at)), "no P1 was open then"))
    signed = check(copied.content, terms, [canonical(a) for a in copied.approvals], signers, at, at, copied.store)
    longest = timedelta(hours=rule.valid_hours if rule else 0)
    places = {str(row.get("journal")) for row in rows if row["kind"] == "APPLY"}
    require(
        (all(at < clock(s.not_before) + longest for s in signed), "params allow them for a shorter time"),
        (not signed or used_by(store, signed) == places, "the store says that another attempt used them, or none"),
        (all(_is_run_of(store, at, found) for at in places), "no row of its attempt, until its end, names this run"),
    )
    people = sorted((one.approver, one.role) for one in signed)
    told = [row["approvals"] for row in rows if row["kind"] == "APPLY"]
    told += [outcome["approvals"]] if told and outcome else []
    require((told and all(sorted((o["approver"], o["role"]) for o in by) == people for by in told), "others are named"))


def _is_run_of(store: Store, place: str, found: Examined) -> bool:
    """Whether a run began or took over this attempt, before it was closed for good."""
    rows = takewhile(lambda row: row["kind"] != "CLOSE" or not row.get("final", True), rows_in(store, place))
    names = [str(row.get("who")).rpartition(", run ")[2] for row in rows if row["kind"] in ("OPEN", "TAKEOVER")]
    return found.record.get("name") in names


def _require_abandoned(store: Store, found: Examined, outcome: dict[str, Any]) -> None:
    """Raise Refused unless this run looked at an attempt and closed it: the approvals are in the store, with its plan.

    It changed nothing, so one of those who must sign the plan is enough.
    """
    stored = newest_plan(store, str(outcome.get("plan")), str(found.record.get("person", "")))
    require((stored, "it has no approvals, and the store no such plan"))
    file, system = stored.file, load_settings(found.record["parameters"]["environment"])  # type: ignore[union-attr]
    rule, signers = system.operations[file.content["operation"]], signers_of(system, file.content["target"])
    at = clock(file.terms.not_before)
    tried = [place for place in store.children(f"applied/{file.id[:12]}") if _is_run_of(store, place, found)]
    ends = [row.get("result") for place in tried for row in rows_in(store, place) if row["kind"] == "CLOSE"]
    require(
        ("abandoned" in ends, "it has no copy of the approvals, and abandoned no attempt"),
        (_changes(outcome) == _changes(file.content), "the report names other changes"),
        (not rule.signers or signed_roles(file, rule, signers, store, at)[0], "nobody signed"),
    )


def _changes(of: dict[str, Any]) -> list[Any]:
    return [(change["action"], change["args"]) for change in of["changes"]]
