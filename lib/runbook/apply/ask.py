"""Messages about a plan: its approvers are asked to sign, and those who asked and signed hear that it is out of date.

A message says what changes, why, until when, and the command that signs. It has no button: the signature stays the
only approval. No plan holds these messages, nor those of runner/alerts.py. Each is sent once.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

from runbook.apply.actions import ACTIONS
from runbook.apply.secret_value import SecretValue
from runbook.approvals.signers import signers_of
from runbook.approvals.verify import signed_roles
from runbook.context import Context
from runbook.display import one_line
from runbook.model import Refused
from runbook.model.plan import Change, Plan
from runbook.plans.base import message
from runbook.records import store_of
from runbook.records.plans import Terms, clock, newest_plan, utc_text


def ask(run: Context, plan: Plan, terms: Terms) -> Iterator[str]:
    """Send a message to each role that must sign, and say who was asked. A message that fails stops nothing."""
    until = clock(terms.not_before) + timedelta(hours=terms.valid_hours)
    title = f"{run.settings.environment}: please review {plan.operation}, plan {plan.id}"
    lines = [f"{c.action}, {c.resource}: {c.before} → {c.after}" for c in plan.changes if not c.optional]
    lines += [f"Reason: {plan.reason or 'none given'}. Asked by {terms.requester}; record: {run.folder.name}."]
    for role in terms.signers:
        sign = f'runbook approve {plan.id} --role {role} --reason "…"'
        text = "\n".join([*map(one_line, lines), f"It can be signed until {utc_text(until)}: {sign}"])
        once = f"ask-{plan.id}-{sha256(terms.requester.encode()).hexdigest()[:8]}"
        yield _sent(run, "asked", plan.id, message(role, title, text, once))


def notify_stale(run: Context, plan: str, moved: Refused) -> Iterator[str]:
    """Notify the requester of a plan, and the roles that signed it, of what has changed since."""
    store, rules = store_of(run.settings), run.settings.operations
    stored = newest_plan(store, plan)
    if stored is None or stored.file.content["operation"] not in rules:
        return
    file, rule = stored.file, rules[stored.file.content["operation"]]
    people = signers_of(run.settings, run.cloud.target) if rule.signers else None
    signed = signed_roles(file, rule, people, store, run.moment.at)[0] if people else []
    requester = re.sub("[^a-z0-9]+", "-", file.terms.requester.lower())
    title = f"{run.settings.environment}: plan {file.id[:12]} is out of date"
    text = f"{moved.observed}\nIt can no longer be applied: plan again, then sign again."
    for contact in dict.fromkeys((requester, *signed)):
        once = f"stale-{file.id[:12]}-{sha256(text.encode()).hexdigest()[:8]}"
        yield _sent(run, "notified", file.id[:12], message(contact, title, text, once))


def _sent(run: Context, verb: str, plan: str, change: Change) -> str:
    def send(method: str, url: str, body: Any = None, headers: Any = None) -> Any:
        return run.cloud.write(method, url, json.dumps(body).encode(), headers)

    action, contact = ACTIONS[change.action], change.args.contact
    try:
        observed = action.observe(run.cloud, change)
        if observed.state == "new":
            return f"{contact} was {verb} before"
        run.journal.write("MESSAGE", plan=plan, contact=contact)
        action.do(send, run.cloud, change, observed, SecretValue(""))
        return f"{contact} was {verb} by a message"
    except Exception as error:  # noqa: BLE001 - whatever it is, the plan stays as it is, and there are other ways
        return f"{contact} was not {verb} ({str(error).splitlines()[0]}); do it yourself"
