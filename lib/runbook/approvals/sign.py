"""Signs one plan as one person in one role."""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.approvals.signers import Signers
from runbook.approvals.ssh import sign
from runbook.approvals.statement import Statement, same_person_key, statement_of
from runbook.approvals.terms import current_terms
from runbook.approvals.verify import rules, statements_of
from runbook.model.canonical import canonical
from runbook.model.errors import require
from runbook.records.plans import clock, plan_of, utc_text

if TYPE_CHECKING:
    from runbook.approvals.stored_plan import Found


def approve(
    found: "Found", role: str, reason: str, signers: Signers, person: str, key: Path, override: str = ""
) -> Statement:
    """Sign a plan as `person` in `role`, and write the approval into the store as approvals/<plan>/<nonce>.json.

    It takes effect at the opening of the preferred window; with an `override` reason, now. The rule and the opening
    come from the approver's own settings. Raises Refused, also unless the terms in the file are those of the settings.
    """
    file, rule, store, now = plan_of(found.stored.raw), found.rule, found.store, found.now
    terms = current_terms(file, rule)
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
    text = canonical(values | {"not_before": utc_text(start), "expires_at": utc_text(start + lasts)})
    statement = statement_of(text)
    require(*rules(statement, file.content, terms, signers))
    for before in statements_of(store, file.id):
        theirs = same_person_key(before.approver) == same_person_key(person) and now < clock(before.expires_at)
        require((not theirs or before.role == role, f"{person} has already signed this plan as {before.role}"))
    signature = sign(text, key, statement.target)
    if signers.keys:  # else there are no params here, and it is verified when it is accepted
        signers.verify(person, text, signature, now)
    signed = canonical({"statement": text.decode(), "signature": signature})
    store.create(f"approvals/{file.id}/{statement.nonce}.json", signed)
    return statement
