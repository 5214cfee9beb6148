"""What stands around a symptom: whose product it is about, what its status page reports, and who still works. Pure."""

import re
from collections.abc import Sequence
from datetime import timedelta

from runbook.config.data_file import table
from runbook.config.schema import Settings
from runbook.incidents.affected import Evidence, FailingFunction
from runbook.incidents.texts.weighing import Told
from runbook.model.rows import OpenIncident

_EARLY = timedelta(minutes=45)  # an incident may be reported this long after the first symptom
_NAMES = table(__file__, "products.yaml")
FEEDS, _TITLES, REGIONAL, NETWORK = (_NAMES[name] for name in ("feeds", "titles", "regional", "network"))
_NO_ANSWER = ("dependency_outage", "own_network")
OF_SYSTEM = ("dependency_outage", "auth_error", "quota", "api_disabled", "certificate")
OF_ALL = ("billing", "service_account", "organization_policy")


def product(told: Told, one: FailingFunction) -> str:
    """The product that a text is about, by its hosts, else by its words, else by the function's source system."""
    signature, own = told.match.signature, one.function.source_system
    hosts = " ".join(re.findall(_NAMES["host"], told.text))
    for said in (hosts, f"{signature.module} {signature.message}"):
        if found := next((name for name, words in _NAMES["words"].items() if re.search(words, said.lower())), ""):
            return found
    return "google" if signature.module.startswith("google.") and own not in FEEDS else own


def provider(told: Told, one: FailingFunction) -> str:
    """The status page of the product that a text is about."""
    name = product(told, one)
    return "google" if name == "google" or name in FEEDS or name in _TITLES else name


def unanswered(told: Told) -> bool:
    """Whether no answer came: neither a status nor a code of the other side."""
    one = told.match.signature
    answered = one.http or any("_" in c and c.isupper() for c in one.codes if c[:3] != "EAI")
    return told.cause in _NO_ANSWER and not answered


def reported(seen: Evidence, feed: str, region: str, one: FailingFunction, words: str) -> list[OpenIncident]:
    """Open incidents that fit: not minor, in our region, begun by then, and of a product with one of these words."""
    rows = [r for r in seen.feeds.rows if r.feed == feed and r.severity != "low"]
    rows = [r for r in rows if not r.since or r.since <= one.since + _EARLY]
    if feed != "google":
        return rows
    wanted = f"{_TITLES.get(words, words.replace('_', ' '))}|{_NAMES['everything']}"
    return [r for r in rows if {region, "global"} & set(r.where) and re.search(wanted, r.what.lower())]


def contradiction(
    told: Told, one: FailingFunction, everyone: Sequence[FailingFunction], seen: Evidence, settings: Settings
) -> str:
    """A function that works since then although the cause would stop it, in words; "" if there is none."""
    down = {s.function.name for s in everyone}
    mine = one.function

    def concerned(name: str) -> bool:
        other = settings.named(name)
        if name in down or not name or told.cause not in (*OF_SYSTEM, *OF_ALL, "own_network"):
            return False
        theirs, ours = (FEEDS.get(f.source_system, f.source_system) for f in (other, mine))
        if told.cause == "own_network":
            return theirs != ours
        same = other.source_system == mine.source_system == product(told, one)
        same = same and (told.cause != "auth_error" or set(other.secrets) == set(mine.secrets))
        return same or told.cause in OF_ALL

    good = (r for r in seen.runs.rows if r.status == "success" and r.started_at > one.since and r.function)
    found = next((r for r in good if concerned(r.function or "")), None)
    return f"{found.function} worked at {found.started_at:%H:%M}" if found else ""
