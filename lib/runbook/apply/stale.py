"""An approved plan that differs from the current one: its attempt is unfinished, or it is out of date."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from runbook.apply.attempts import attempts, is_final
from runbook.context import KERNEL, Context
from runbook.model import Refused, Row, canonical, command
from runbook.model.plan import Plan, change_of
from runbook.records import Store, rows_in
from runbook.records.plans import newest_plan


def unfinished(store: Store, wanted: str, plan: Plan, run: Context) -> Plan | None:
    """The approved plan, if an attempt to apply it is unfinished: the changes so far make the current plan differ.

    None for any other plan, and for one from another environment or other code. The file and the journal are not
    trusted: the returned plan contains only actions of this runbook, and needs signatures for exactly this plan. If no
    signature is required, each of its changes must be in the current plan, or already applied.
    """
    stored = newest_plan(store, wanted)
    if stored is None:
        return None
    content, rule = stored.file.content, run.settings.operations.get(stored.file.content["operation"])
    known = attempts(store, stored.file.id)
    rows = rows_in(store, known[-1]) if known else []
    begun = any(row["kind"] == "INTENT" for row in rows) and not is_final(rows)
    if not (begun or KERNEL.told.abandon) or rule is None:
        return None
    changes = tuple(change_of(row, run.request.runbook, content["operation"]) for row in content["changes"])
    here = {canonical(change.plain()) for change in (*plan.changes, *plan.already_applied)}
    if not (KERNEL.told.abandon or rule.signers) and not {canonical(change.plain()) for change in changes} <= here:
        return None
    was = {name: content[name] for name in ("operation", "reason", "relies_on")}
    made = replace(plan, **was, changes=changes, rule=rule, refusal=None)
    return made if made.whole_id == stored.file.id and wanted in (made.id, made.whole_id) else None


def stale(store: Store, wanted: str, plan: Plan) -> Refused:
    """The refusal for an approved plan that differs from the current one: every part that changed."""
    stored = newest_plan(store, wanted)
    if stored is None:
        return Refused(f"there is no plan {wanted}", "it is not in this record store", next="plan, then approve.")
    before, now = stored.file.content, plan.content
    moved = [*_moved("", _read(before), _read(now))] or _moved("", before, now)
    where = f"{plan.operation} ({plan.origin.get('environment')})"
    said = "\n".join(f"changed: {line}" for line in moved)
    again = command(str(plan.origin["runbook"]), plan.origin["parameters"])
    hint = f"nothing, if this is no longer wanted.\nelse plan again, and have that plan signed: {again}"
    return Refused(f"{where} was approved as {wanted[:12]}; the plan is now {plan.id}", said, next=hint)


def _read(content: Row) -> Row:
    """The text of a plan for people; its arguments are left out because they have the same content."""
    names = ("action", "resource", "before", "after")
    return {**content, "changes": [{name: change[name] for name in names} for change in content["changes"]]}


def _moved(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for k in sorted({*old, *new}):
            yield from _moved(f"{key}, {k}" if key else k, old.get(k), new.get(k))
    elif isinstance(old, list) and isinstance(new, list) and old != new:
        if len(old) != len(new):
            yield f"{key}: {len(old)} → {len(new)}"
        for n, (a, b) in enumerate(zip(old, new, strict=False), 1):
            yield from _moved(f"{key} {n}", a, b)
    elif old != new:
        yield f"{key}: {old} → {new}"
