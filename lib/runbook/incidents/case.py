"""One failing function with all evidence, and the rules for its cause by its state, its job and what changed.

What stands around a symptom, too: whose product it is about, what its status page reports, and who still works. Pure.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from runbook.config.schema import Settings
from runbook.data_file import table
from runbook.facts.logs import LOUD, PAGE
from runbook.incidents.affected import SLACK, Evidence, FailingFunction, OwnChanges, described, shape
from runbook.incidents.causes import Cause, quoted
from runbook.incidents.texts.signatures import FORMS
from runbook.incidents.texts.weighing import Told
from runbook.model import Gap
from runbook.model.rows import OpenIncident, SchedulerJob

_EARLY = timedelta(minutes=45)  # an incident may be reported this long after the first symptom
_NAMES = table(__file__, "products.yaml")
FEEDS, _TITLES, REGIONAL, NETWORK = (_NAMES[name] for name in ("feeds", "titles", "regional", "network"))
NO_ANSWER = ("dependency_outage", "own_network")
# Causes that would stop every function of a source system, or of all: one that works since then contradicts them.
STOPS_SYSTEM = ("dependency_outage", "auth_error", "quota", "api_disabled", "certificate")
STOPS_ALL = ("billing", "service_account", "organization_policy")


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
    return told.cause in NO_ANSWER and not answered


def reported(seen: Evidence, feed: str, region: str, one: FailingFunction, words: str) -> list[OpenIncident]:
    """Open incidents that fit: not minor, in our region, begun by then, and of a product with one of these words."""
    rows = [r for r in seen.feeds.rows if r.feed == feed and r.severity != "low"]
    rows = [r for r in rows if not r.since or r.since <= one.since + _EARLY]
    if feed != "google":
        return rows
    wanted = f"{_TITLES.get(words, words.replace('_', ' '))}|{_NAMES['everything']}"
    return [r for r in rows if {region, "global"} & set(r.where) and re.search(wanted, r.what.lower())]


@dataclass(frozen=True)
class Case(OwnChanges):
    """One failing function, all failing functions and what their texts tell, and all evidence."""

    everyone: Sequence[FailingFunction]
    told: dict[str, list[Told]]
    settings: Settings

    name = property(lambda self: self.one.function.name)
    system = property(lambda self: self.one.function.source_system)
    # What its weightiest text tells.
    lead = property(lambda self: next(iter(self.told[self.name]), None))

    def made(self, cause: str, confidence: str, *evidence: str, key: str = "", **more: Any) -> Cause:
        """A cause of this function; `key` is its name unless functions share the cause."""
        if cause == "unknown" and self.one.how == "no end":
            more["detail"] = self.one.how
        return Cause(cause, (self.name,), self.one.since, confidence, evidence, key or self.name, **more)

    def quote(self) -> list[str]:
        """The first new text about it."""
        return [quoted(text) for text in self.one.news[:1]]

    @property
    def job(self) -> SchedulerJob | None:
        """Its scheduler job, if it did not start."""
        late = self.one.how == "not started"
        return next((j for j in self.seen.jobs.rows if late and j.function == self.name), None)

    def contradiction(self, told: Told) -> str:
        """What speaks against a cause, in words, or "": a table that is there, or a function that works since then."""
        mine, rows = self.one.function, self.seen.freshness.rows if told.cause == "table_missing" else ()
        if there := next((r.table_name for r in rows if r.newest and re.search(rf"\b{r.table_name}\b", told.text)), ""):
            return f"{there} exists now"
        # Without its main dataset, or the right to start jobs, no function works.
        everyone = re.search(rf"Dataset \S+\b{self.settings.datasets.main}\b|bigquery\.jobs\.create", told.text)

        def concerned(name: str) -> bool:
            other = self.settings.named(name)
            theirs, ours = (FEEDS.get(f.source_system, f.source_system) for f in (other, mine))
            if told.cause == "own_network":
                return theirs != ours
            same = other.source_system == mine.source_system == product(told, self.one)
            same = same and (told.cause != "auth_error" or set(other.secrets) == set(mine.secrets))
            return bool(told.cause in STOPS_ALL or everyone) or (told.cause in STOPS_SYSTEM and same)

        good = (r for r in self.seen.runs.rows if r.status == "success" and r.started_at > self.one.since)
        found = next((r for r in good if r.function and r.function not in self.told and concerned(r.function)), None)
        return f"{found.function} worked at {found.started_at:%H:%M}" if found else ""

    def granted(self) -> list[str]:
        """Changes of permissions before the failure, in words."""
        return self.described(lambda c: "IamPolicy" in c.what)

    def region(self) -> Cause | None:
        """The region does not answer, or Google reports an incident there that fits what most that were due show."""
        region, lead = self.settings.region, self.lead
        silent = any(g.location == region for g in self.seen.functions.gaps)
        incidents = reported(self.seen, "google", region, self.one, REGIONAL)
        silence = len(self.everyone) > 2 and not any(self.told.values())
        worked = any(r.status == "success" and r.started_at > self.one.since for r in self.seen.runs.rows)
        half = len(self.everyone) * 2 >= len(self.settings.functions)
        many = silence or half or (len(self.everyone) > 2 and not worked)
        both = silent and bool(incidents)  # then what Google's own services answer follows from it
        fits = lead is None or lead.cause in ("capacity", "timeout", "own_network") or lead.match.row.hint
        fits = fits or (both and lead.cause == "dependency_outage" and provider(lead, self.one) == "google")
        if not (fits and (silent or (incidents and many))):
            return None
        evidence = [f"{region} does not answer"] * silent + [f"Google reports: {r.title}" for r in incidents]
        return self.made("region_outage", "sure" if both else "likely", *evidence, key=region)

    def gone(self) -> Cause:
        """The list of functions is complete and does not contain it."""
        who = self.described(lambda c: "DeleteFunction" in c.what and self.named(c))
        said = f"the list of {len(self.seen.functions.rows)} functions does not contain it"
        return self.made("missing_function", "sure", said, *who)

    def not_called(self) -> Cause | None:
        """It did not start because its job is paused or disabled."""
        if not (job := self.job) or job.state not in ("PAUSED", "DISABLED"):
            return None
        early = self.one.since - timedelta(hours=48)
        who = self.before(lambda c: "Job" in c.what and self.named(c), early)
        said = (f"its job is {job.state}", *map(described, who))
        return self.made("paused_scheduler", "sure", *said, key=job.state, detail=job.name)

    def refused(self) -> Cause | None:
        """It did not start, and no text says why: what the scheduler got (google.rpc.Code)."""
        code = self.job.code if self.job else 0
        if code in (7, 16):
            who = self.granted()
            return self.made("permission", "sure" if who else "likely", *who, key="permission")
        return self.made("capacity", "possible", key="capacity") if code == 8 else None

    def undeployed(self) -> Cause:
        """Its last deployment failed, and the previous revision still runs."""
        active = {r.name for r in self.seen.functions.rows if r.state == "ACTIVE"}
        evidence = (*self.quote(), *self.described(self.deploys))
        return self.made("failed_deployment", "likely" if self.name in active else "sure", *evidence)

    def stuck(self) -> Cause | None:
        """A run has no end, its time limit has passed, and no error says why."""
        said = (t.text for t in self.one.lines if t.new and t.newest and t.place in ("run", "platform", "error"))
        if self.one.how != "no end" or any(FORMS["trouble"].search(t) and not FORMS["went_on"].search(t) for t in said):
            return None
        why = f"its limit of {self.one.function.timeout_s} s has passed and no log entry says why"
        return self.made("stuck_etl", "possible" if self.cut_off() else "likely", why)

    def newest_change(self) -> Cause | None:
        """No text tells, but its table is gone, or one of its own resources changed after its last successful run."""
        absent = {name.rsplit(".", 1)[-1] for name in self.seen.freshness.absent}
        if self.one.runs and (gone := next((t for t in self.one.function.tables if t in absent), "")):
            said = f"BigQuery answers that {gone} does not exist"
            return self.made("table_missing", "likely", *self.quote(), said, *self.described(self.of_table), key=gone)
        called = self.job and self.job.code not in (0, 7, 8, 16)  # it was called, and it did not get as far as a run
        good = self.one.last_good if called or self.one.how != "not started" else None
        rows = self.before(lambda c: good and c.at > good and self.kind(c))
        if not rows:
            return None
        cause = self.kind(rows[0])
        key = {"secret": self.of_secret(rows[0]), "auth_error": self.system}.get(cause, "")
        return self.made(cause, "likely", *self.quote(), f"shortly before: {described(rows[0])}", key=key)

    def on_status_page(self) -> Cause | None:
        """No text tells, but the status page of its source system, or of what starts it, reports an incident."""
        feed, words = FEEDS.get(self.system, self.system), self.system
        if self.one.how == "not started":
            feed, words = "google", "scheduler"
        incidents = reported(self.seen, feed, self.settings.region, self.one, words)
        titles = [f"{r.feed} reports: {r.title}" for r in incidents]
        return self.made("dependency_outage", "possible", *self.quote(), *titles, key=words) if titles else None

    def unknown(self) -> Cause:
        """What was looked at without a result."""
        deployed = (f"changed shortly before: {said}" for said in self.described(self.deploys))
        key = "not started" if self.one.how == "not started" else shape(*self.one.news[:1])
        return self.made("unknown", "unknown", *self.quote(), *deployed, "no known code or text matches", key=key)

    def cut_off(self) -> list[Gap]:
        """A gap if the page of log entries was full and may lack the ones that tell why it fails."""
        logs, rows = self.seen.logs, [r for r in self.seen.logs.rows if not r.bare]
        count = Counter(r.function for r in rows)
        loud = {function for function, rows in count.items() if rows > LOUD}
        mine = [r.at for r in rows if (r.function == self.name if self.name in loud else r.function not in loud)]
        full = self.name in loud or len(mine) >= PAGE
        if not logs.more or not full or min(mine) <= self.one.since - SLACK or self.lead:
            return []
        line = f"gcloud functions logs read {self.name} --gen2 {self.settings.flags} --limit=50"
        said = f"log entries of {self.name} before {min(mine):%H:%M}"
        return [Gap(said, f"only the newest {len(mine):,} were read", line)]
