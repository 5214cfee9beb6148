"""Asks the approvers of a plan by a message: what changes, why, until when, and the command that signs.

The message has no button: the signature stays the only approval. It is the one message that a run sends without a plan
of its own, and it is sent once for each plan and requester.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

from runbook.apply.actions import ACTIONS
from runbook.apply.secret_value import SecretValue
from runbook.context import Context
from runbook.model.plan import Plan
from runbook.plans.base import message
from runbook.records.plans import Terms, clock, utc_text


def ask(run: Context, plan: Plan, terms: Terms) -> Iterator[str]:
    """Send a message to each role that must sign, and say who was asked. A message that fails stops nothing."""
    until = clock(terms.not_before) + timedelta(hours=terms.valid_hours)
    title = f"{run.settings.environment}: please review {plan.operation}, plan {plan.id}"
    lines = [f"{c.action}, {c.resource}: {c.before} → {c.after}" for c in plan.changes if not c.optional]
    lines += [f"Reason: {plan.reason or 'none given'}. Asked by {terms.requester}; record: {run.folder.name}."]
    for role in terms.signers:
        sign = f'runbook approve {plan.id} --role {role} --reason "…"'
        text = "\n".join([*lines, f"It can be signed until {utc_text(until)}: {sign}"])
        change = message(role, title, text, once=f"ask-{plan.id}-{sha256(terms.requester.encode()).hexdigest()[:8]}")
        try:
            yield _sent(run, plan, role, change)
        except Exception as error:  # noqa: BLE001 - whatever it is, the plan stands, and somebody can be asked otherwise
            yield f"{role} was not asked ({str(error).splitlines()[0]}); ask them yourself"


def _sent(run: Context, plan: Plan, role: str, change: Any) -> str:
    action = ACTIONS[change.action]
    observed = action.observe(run.cloud, change)
    if observed.state == "new":
        return f"{role} was asked before"
    run.journal.write("ASK", plan=plan.whole_id, contact=role)

    def send(method: str, url: str, body: Any = None, headers: Any = None) -> Any:
        return run.cloud.write(method, url, json.dumps(body).encode(), headers)

    action.do(send, run.cloud, change, observed, SecretValue(""))
    return f"{role} was asked by a message"
