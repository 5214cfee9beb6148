"""A message to people.

No service reports whether a person has read it, so the record store notes that it was accepted. If a crash loses that
note, the message is sent again: twice is better than never.
"""

from contextlib import suppress

from runbook.apply.actions.base import Action, Change, Cloud, Observation, SecretValue, Send
from runbook.apply.notify import deliver
from runbook.facts.records import notified_place
from runbook.model import Taken, canonical
from runbook.records import now, store_of


def _observe_message(cloud: Cloud, change: Change) -> Observation:
    raw = store_of(cloud.settings).read(notified_place(_once(change), change.args.contact))
    return Observation("old", "not notified yet") if raw is None else Observation("new", "the message was accepted")


def _once(change: Change) -> str:
    """The key for which the message is sent only once: the incident of the plan, else the attempt to apply it."""
    return change.args.once or change.notes["once"]


def _do_message(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    contact, title, text = change.args.contact, change.args.title, change.args.message
    if cloud.target == "sandbox":  # a rehearsal must not call anyone
        send("POST", f"https://inbox.example.com/messages/{contact}", {"title": title, "message": text, "type": "info"})
    else:
        deliver(contact, title, text)
    place, note = notified_place(_once(change), contact), {"contact": contact, "at": now()}
    with suppress(Taken):  # another run sent it at the same time
        store_of(cloud.settings).create(place, canonical(note))


ACTIONS = {"notify": Action(_observe_message, _do_message)}
