"""Why functions are failing: facts in, ranked causes out. Pure; based on phrases (patterns.yaml) and timing.

Every failing function gets one cause, from the log entries of the function and the platform since it began to fail, and
from changes between its last successful run and that time. `sure`: stated in a log or confirmed by two sources. If
nothing matches, the cause is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from runbook.config.schema import Settings
from runbook.incidents.affected import Evidence, FailingFunction, OwnChanges, described, find
from runbook.incidents.causes import CONFIDENCE, Cause, Causes, Pattern, matched, merged, most_telling
from runbook.model.facts import Gap
from runbook.model.moment import Moment
from runbook.model.rows import OpenIncident, SecretVersion

FEEDS = {"gmail": "google", "google_calendar": "google", "vertex_ai": "google", "internal": "google"}
LONG = 200  # characters of a quoted text
NEEDS_A_CHANGE = {"bad_data", "crash_after_deploy"}  # sure only if something of its own was changed before
_FOR_HOURS = re.compile(r"TotalRequests|DAILY|per day|quotaExceeded(?!.*rate)|daily", re.IGNORECASE)
_OURS = re.compile(r"cloud run|functions|scheduler|compute|networking|multiple", re.IGNORECASE)


def diagnose(seen: Evidence, patterns: Sequence[Pattern], settings: Settings, moment: Moment) -> Causes:
    """All causes, ranked by confidence, then by the number of functions, then by the start of the failure."""
    unknowns = tuple(gap for fact in seen for gap in fact.gaps)
    if seen.runs.more:
        unknowns += (Gap("older runs", f"only the newest {len(seen.runs.rows):,} were read"),)
    everyone = tuple(find(seen, settings, moment))
    found: dict[tuple[str, str], Cause] = {}
    for one in everyone:
        cause = _Case(one, everyone, seen, patterns, settings).cause()
        before = found.get((cause.cause, cause.key))
        found[cause.cause, cause.key] = merged(before, cause) if before else cause
    ranked = sorted(found.values(), key=lambda c: (CONFIDENCE.index(c.confidence), -len(c.functions), c.since))
    return Causes(tuple(ranked), everyone, unknowns)


@dataclass(frozen=True)
class _Case:
    """One failing function, all failing functions, and all evidence. Each rule returns a cause, or None."""

    one: FailingFunction
    everyone: Sequence[FailingFunction]
    seen: Evidence
    patterns: Sequence[Pattern]
    settings: Settings

    changes = property(lambda self: OwnChanges(self.one, self.seen))

    def cause(self) -> Cause:
        """The cause from the first rule that matches."""
        by_state = (self._region, self._gone, self._not_called, self._undeployed)
        rules = (*by_state, self._words, self._stuck, self._newest_change)
        found = next((cause for rule in rules if (cause := rule())), None) or self._unknown()
        later = [f"changed after its last run: {described(c)}" for c in self.changes.since_last_run(found.cause)]
        symptom = f"{self.one.function.name}: {self.one.symptom}"
        changed = found.changed_since_last_run or bool(later)
        return replace(found, evidence=(symptom, *found.evidence, *later), changed_since_last_run=changed)

    def _made(self, cause: str, confidence: str, *evidence: str, key: str = "") -> Cause:
        name = self.one.function.name
        return Cause(cause, (name,), self.one.since, confidence, evidence, key or name)

    def _region(self) -> Cause | None:
        """The region does not answer, or Google reports an incident there and half of the functions are failing."""
        region = self.settings.region
        silent = any(g.location == region for g in self.seen.functions.gaps)
        reported = [r for r in self._feed("google") if {region, "global"} & set(r.where) and _OURS.search(r.what)]
        many = len(self.everyone) * 2 >= len(self.settings.functions)
        if not silent and not (reported and many):
            return None
        evidence = [f"{region} does not answer"] if silent else []
        evidence += [f"Google reports: {r.title}" for r in reported]
        return self._made("region_outage", "sure" if silent and reported else "likely", *evidence, key=region)

    def _gone(self) -> Cause | None:
        """The list of functions is complete and does not contain it."""
        if self.one.how != "gone":
            return None
        who = self.changes.before(lambda c: "DeleteFunction" in c.what and self.changes.named(c))
        said = f"the list of {len(self.seen.functions.rows)} functions does not contain it"
        return self._made("missing_function", "sure", said, *map(described, who))

    def _not_called(self) -> Cause | None:
        """It did not start: its job is paused or disabled, or the last call was refused (google.rpc.Code 7 and 16)."""
        job = next((j for j in self.seen.jobs.rows if j.function == self.one.function.name), None)
        if not job or self.one.how != "not started":
            return None
        if job.state in ("PAUSED", "DISABLED"):
            early = self.one.since - timedelta(hours=48)
            who = self.changes.before(lambda c: "Job" in c.what and self.changes.named(c), early)
            return self._made("paused_scheduler", "sure", f"its job is {job.state}", *map(described, who))
        if job.code in (7, 16):
            who = self.changes.before(lambda c: "IamPolicy" in c.what)
            said = f"the last call of the scheduler was refused, code {job.code}"
            return self._made("permission", "sure", said, *map(described, who), key="permission")
        return None

    def _undeployed(self) -> Cause | None:
        """Its last deployment failed, and the previous revision still runs."""
        if self.one.how != "not deployed":
            return None
        return self._made("failed_deployment", "sure", *self._quote(), *self.changes.described(self.changes.deploys))

    def _stuck(self) -> Cause | None:
        """A run has no end, its time limit has passed, and no log entry says why."""
        if self.one.how != "no end" or any(not t.startswith("Attempt") for t in self.one.news(self.seen)):
            return None
        said = f"its limit of {self.one.function.timeout_s} s has passed and nothing was logged"
        return self._made("stuck_etl", "likely", said)

    def _newest_change(self) -> Cause | None:
        """No pattern matches, but one of its own resources changed after its last successful run: the likely cause."""
        good = self.one.last_good
        if self.one.how == "not started" or not good:
            return None
        for row in self.changes.before(lambda c: c.at > good and bool(self.changes.kind(c)))[:1]:
            cause = self.changes.kind(row)
            key = self.changes.of_secret(row) if cause == "secret" else ""
            return self._made(cause, "likely", *self._quote(), f"shortly before: {described(row)}", key=key)
        return None

    def _unknown(self) -> Cause:
        deployed = (f"changed shortly before: {described(c)}" for c in self.changes.before(self.changes.deploys))
        key = "not started" if self.one.how == "not started" else ""
        return self._made("unknown", "unknown", *self._quote(), *deployed, "no known pattern matches", key=key)

    # --- rules by text

    def _words(self) -> Cause | None:
        """The cause from the patterns that match the texts of the function and the platform."""
        found = matched(self.one.texts, self.patterns)
        plain = [(p, text) for p, text in found if not p.hint]
        if plain or not found:
            return self._read(plain) if plain else None
        cause = self._read(found)
        doubt = "possible" if cause.confidence != "unknown" else "unknown"
        return replace(cause, confidence=doubt, evidence=(*cause.evidence, "this text is only a hint"))

    def _read(self, found: Sequence[tuple[Pattern, str]]) -> Cause:
        """The cause that most of the texts name, by the rules of that cause."""
        cause, text, count = most_telling(found, self.patterns)
        said = _quoted(text) + (f" ({count} similar lines)" if count > 1 else "")
        if cause == "stuck_etl":
            return self._made(cause, "sure" if self.one.how == "no end" else "likely", said)
        if cause == "dependency_outage":
            return self._dependency(said)
        return self._crash(cause, said) if cause in NEEDS_A_CHANGE else self._self_evident(cause, said)

    def _self_evident(self, cause: str, said: str) -> Cause:
        """Causes that a text states directly; earlier changes are further evidence."""
        system = self.one.function.source_system
        if cause == "secret":
            return self._secret(said)
        if cause == "permission":
            who = self.changes.before(lambda c: "IamPolicy" in c.what)
            return self._made(cause, "sure", said, *map(described, who), key=cause)
        if cause == "quota":
            lasts = "hours" if _FOR_HOURS.search(said) else "seconds"
            return replace(self._made(cause, "sure", said, f"it lasts for {lasts}", key=system), detail=lasts)
        return self._made(cause, "sure", said, key=system if cause == "auth_error" else "")

    def _secret(self, said: str) -> Cause:
        """A version cannot be read; if it was disabled and the newest ones are enabled now, only a rerun is needed."""
        off = self._off()
        states = (f"{r.secret}, version {r.version}, is {r.state}" for r in off)
        key = off[0].secret if off else self.one.function.source_system
        made = self._made("secret", "sure", said, *states, *self.changes.described(self.changes.of_secret), key=key)
        whole = {r.secret for r in self._mine()} == set(self.one.function.secrets)
        if off and off[0].state == "DISABLED":
            return replace(made, detail=str(off[0].version))
        if off or not whole or not re.search("disabled", said, re.IGNORECASE):
            return made
        now = "the newest version of each of its secrets is enabled now"
        return replace(made, evidence=(*made.evidence, now), changed_since_last_run=True)

    def _off(self) -> list[SecretVersion]:
        """The newest versions of its secrets that are not enabled."""
        mine = self._mine()
        newest = {r.secret: r for r in sorted(mine, key=lambda r: r.version)}
        return [r for r in mine if r is newest[r.secret] and r.state != "ENABLED"]

    def _mine(self) -> list[SecretVersion]:
        return [r for r in self.seen.secrets.rows if r.secret in self.one.function.secrets]

    def _dependency(self, said: str) -> Cause:
        """The dependency answers with errors: sure if its own status page reports an incident."""
        system = self.one.function.source_system
        feed = FEEDS.get(system, system)
        reported = [r for r in self._feed(feed) if feed != "google" or _concerns(r.what, said)]
        together = sum(s.function.source_system == system for s in self.everyone) > 1
        confidence = "sure" if reported else "likely" if together else "possible"
        titles = (f"{r.feed} reports: {r.title}" for r in reported)
        return self._made("dependency_outage", confidence, said, *titles, key=system)

    def _crash(self, cause: str, said: str) -> Cause:
        """Bad data or a crash: a change of the table or of the code decides; without one, the cause is unknown."""
        deployed, altered = self.changes.before(self.changes.deploys), self.changes.before(self.changes.of_table)
        if cause == "bad_data" and (altered or not deployed):
            return self._made(cause, "sure" if altered else "likely", said, *map(described, altered))
        if deployed:
            before = (f"deployed shortly before: {described(c)}" for c in deployed)
            return self._made("crash_after_deploy", "sure", said, *before)
        return self._newest_change() or self._made("unknown", "unknown", said, "no deployment shortly before")

    def _quote(self) -> list[str]:
        return [_quoted(text) for text in self.one.news(self.seen)[:1]]

    def _feed(self, name: str) -> list[OpenIncident]:
        return [r for r in self.seen.feeds.rows if r.feed == name]


def _quoted(text: str) -> str:
    """A text in quotation marks, with an ellipsis if it was cut."""
    return f"“{text}”" if len(text) <= LONG else f"“{text[:LONG]}…”"


def _concerns(products: str, said: str) -> bool:
    words = [w for w in re.findall(r"[a-z]{4,}", products.lower()) if w not in ("google", "cloud")]
    return any(w in said.lower() for w in words)
