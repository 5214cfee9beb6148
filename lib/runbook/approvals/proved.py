"""Whether a record in the store is as it was written, and whether what it changed was approved then.

The files must have the digests in record.json. Somebody who may replace files can write these anew, but not a
signature: so the approvals that were used are copied into the record with what was signed, and verified with the keys
of that time.

    approvals.json   {"at", "store", "content", "terms", "approvals": [{"statement", "signature"}, …]}
"""

from collections.abc import Iterator
from typing import Any

from runbook.approvals.signed import is_open
from runbook.approvals.signers import signers_of
from runbook.approvals.verify import check
from runbook.cloud.target import target
from runbook.config.load import load_settings
from runbook.model.actions import Notify
from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import Broken, RunbookError, require
from runbook.model.strict import Part
from runbook.records import Examined, Store, examined, json_of, mapping, rows_of
from runbook.records.plans import Content, Line, Terms, When, clock, parse, plan_of

FILE = "approvals.json"
CHANGED = ("APPLY", "INTENT", "WRITE", "RESULT")  # rows of a journal that only an approved run has


class Copied(Part):
    """The approvals that a run used, with what was signed: the content and the terms of the plan, and when."""

    at: When
    store: Line
    content: dict[str, Any]
    terms: Terms
    approvals: list[dict[str, str]]


def faults(store: Store, run: str) -> tuple[str, ...]:
    """What is wrong with a record, one line each; () for one that is proved.

    Raises NoRecord if the store does not answer.
    """
    return faults_in(store, examined(store, run))


def faults_in(store: Store, found: Examined) -> tuple[str, ...]:
    """As `faults`, of a record that was read already."""
    return found.faults or tuple(_unapproved(store, found))


def _unapproved(store: Store, found: Examined) -> Iterator[str]:
    """Why the changes of a record are not proved to be approved; nothing for a record without changes."""
    journal, said = (found.files.get(name, b"") for name in ("journal.jsonl", "report.json"))
    if b'"outcome"' not in said and not any(f'"{kind}"'.encode() in journal for kind in CHANGED):
        return
    outcome = mapping(mapping(json_of(said)).get("outcome"))
    try:
        rows = rows_of(journal, "journal.jsonl")
        changed = [row for row in rows if row["kind"] in CHANGED]
        if changed or outcome.get("approvals") or outcome.get("result") == "applied":
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
    require(
        (content.environment == found.record["parameters"]["environment"], "they are for another environment"),
        (rule, f"params do not know the operation {content.operation}"),
        (rule and set(rule.signers) <= set(terms.signers), "params ask for more signatures than its terms"),
        (all(plan.startswith(row["plan"]) for row in rows), "the journal names another plan"),
        (all(row["change"] in copied.content["changes"] for row in begun), "the journal names other changes"),
        (outcome.get("plan", plan) == plan, "the report names another plan"),
        (not outcome.get("changes") or _changes(outcome) == _changes(copied.content), "the report names other changes"),
    )
    signers = signers_of(system, target(content.environment)) if rule and rule.signers else None
    require((not terms.incident or (signers and is_open(store, signers, terms.incident, at)), "no P1 was open then"))
    signed = check(copied.content, terms, [canonical(a) for a in copied.approvals], signers, at, at, copied.store)
    people = sorted((one.approver, one.role) for one in signed)
    told = [row["approvals"] for row in rows if row["kind"] == "APPLY"]
    told += [outcome["approvals"]] if told and outcome else []
    require((told and all(sorted((o["approver"], o["role"]) for o in by) == people for by in told), "others are named"))


def _changes(of: dict[str, Any]) -> list[Any]:
    return [(change["action"], change["args"]) for change in of["changes"]]
