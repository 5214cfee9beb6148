"""What stands around a symptom: whose product it is about, what its status page reports, and who still works. Pure."""

import re
from datetime import timedelta

from runbook.config.data_file import table
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
