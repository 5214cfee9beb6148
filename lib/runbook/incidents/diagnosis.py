"""Why functions are failing: facts in, ranked causes out. Pure; based on tables of codes and on timing.

Every failing function gets a cause: from its state, from what its texts say (weighing.py), from changes between its last
successful run and the failure, or from what feeds it. `sure`: a code or the platform says it and nothing contradicts it,
or two sources agree. If nothing tells, the cause is `unknown`. Data that is wrong behind green runs follows (data_age.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from runbook.config.schema import Settings
from runbook.facts.logs import LOUD, PAGE
from runbook.incidents.affected import SLACK, Evidence, FailingFunction, OwnChanges, described, find, shape
from runbook.incidents.causes import CONFIDENCE, Cause, Causes, merged, quoted
from runbook.incidents.codes import Tables, tables
from runbook.incidents.context import NETWORK, contradiction, product, provider, reported, unanswered
from runbook.incidents.data_age import green_but_wrong, upstream
from runbook.incidents.weighing import NEAR, WENT_ON, Told, weighed
from runbook.model.facts import Gap
from runbook.model.moment import Moment

WORKS = ("failed_deployment",)  # what does not keep a function from working comes last
# One thing for the whole system: functions that fail because of it share one cause.
SHARED = ("billing", "own_network", "service_account", "organization_policy", "capacity", "image_missing")
_ONLY_CODE = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "IndentationError", "UnboundLocalError")
_FOR_HOURS = re.compile(r"TotalRequests|DAILY|per day|quotaExceeded(?!.*rate)|daily|per month|monthly", re.IGNORECASE)
_STARVED = re.compile(
    r"\b(no|zero|0|empty|missing|without|not yet|stale|old)\b.{0,40}\b(rows|data|records|input|upstream|batch|partition"
    r"|snapshot|scores|embeddings|accounts|vectors|features|load)\b|upstream|(rows|data|input|partition).{0,30}\b(stale|old|empty|missing)\b",
    re.IGNORECASE,
)


def diagnose(seen: Evidence, settings: Settings, moment: Moment) -> Causes:
    """All causes: those that keep a function from working first, ranked by confidence, then by the number of functions, then by the start of the failure."""
    unknowns = tuple(gap for fact in seen for gap in fact.gaps)
    if seen.runs.more:
        unknowns += (Gap("older runs", f"only the newest {len(seen.runs.rows):,} were read"),)
    everyone = tuple(find(seen, settings, moment))
    own = tuple(tuple(row.model_dump().items()) for row in settings.signatures)
    known = tables(own)
    told = {one.function.name: weighed(one.lines, known, one.function.source_system) for one in everyone}
    cases = {one.function.name: Case(one, everyone, told, seen, settings, known) for one in everyone}
    found: dict[tuple[str, str], Cause] = {}
    for case in cases.values():
        for cause in _fed(case, cases):
            before = found.get((cause.cause, cause.key))
            found[cause.cause, cause.key] = merged(before, cause) if before else cause
    rows = [*found.values(), *green_but_wrong(seen, everyone, settings, moment)]
    ranked = sorted(
        rows, key=lambda c: (c.second, c.cause in WORKS, CONFIDENCE.index(c.confidence), -len(c.functions), c.since)
    )
    cut = tuple(gap for case in cases.values() for gap in case.cut_off())
    return Causes(tuple(ranked), everyone, unknowns + cut)


def _fed(case: Case, cases: dict[str, Case]) -> list[Cause]:
    """The causes of one failing function; those of what feeds it, if its own texts only say that data is missing."""
    causes, one = case.causes, case.one
    if causes[0].cause in ("unknown", "bad_data") and any(_STARVED.search(line.text) for line in one.lines):
        for name in upstream(one.function, case.settings):
            if (
                name in cases
                and cases[name].one.since <= one.since
                and (root := cases[name].causes[0]).cause != "unknown"
            ):
                said = f"{one.function.name}: {one.symptom}; it reads the data of {name}"
                return [replace(root, functions=(one.function.name,), evidence=(said, *case.quote()))]
    return causes


@dataclass(frozen=True)
class Case:
    """One failing function, all failing functions and what their texts tell, and all evidence."""

    one: FailingFunction
    everyone: Sequence[FailingFunction]
    told: dict[str, list[Told]]
    seen: Evidence
    settings: Settings
    known: Tables

    changes = property(lambda self: OwnChanges(self.one, self.seen))

    @cached_property
    def causes(self) -> list[Cause]:
        """The cause from the first rule that matches, and a second one if the evidence allows two."""
        by_state = (self._gone, self._not_called, self._undeployed, self._region)
        rules = (*by_state, self._by_text, self._stuck, self._newest_change, self._refused)
        found = next((cause for rule in rules if (cause := rule())), None) or self._unknown()
        later = [f"changed after its last run: {described(c)}" for c in self.changes.since_last_run(found.cause)]
        symptom = f"{self.one.function.name}: {self.one.symptom}"
        changed = found.changed_since_last_run or bool(later)
        tried = self._attempted() if self.one.how == "not started" else ()
        first = replace(found, evidence=(symptom, *found.evidence, *tried, *later), changed_since_last_run=changed)
        return [first, *self._second(first)]

    def _made(self, cause: str, confidence: str, *evidence: str, key: str = "", **more: str) -> Cause:
        name = self.one.function.name
        return Cause(cause, (name,), self.one.since, confidence, evidence, key or name, **more)  # type: ignore[arg-type]

    # --- rules by state

    def _region(self) -> Cause | None:
        """The region does not answer, or Google reports an incident there that fits what half of the functions show."""
        region, lead = self.settings.region, self._lead()
        silent = any(g.location == region for g in self.seen.functions.gaps)
        incidents = reported(
            self.seen, "google", region, self.one, "cloud run|functions|scheduler|compute|networking|multiple"
        )
        many = len(self.everyone) * 2 >= len(self.settings.functions)
        fits = (
            lead is None or lead.cause in ("capacity", "dependency_outage", "own_network", "timeout") or not lead.plain
        )
        if not (fits and (silent or (incidents and many))):
            return None
        evidence = [f"{region} does not answer"] if silent else []
        evidence += [f"Google reports: {r.title}" for r in incidents]
        return self._made("region_outage", "sure" if silent and incidents else "likely", *evidence, key=region)

    def _gone(self) -> Cause | None:
        """The list of functions is complete and does not contain it."""
        if self.one.how != "gone":
            return None
        who = self.changes.before(lambda c: "DeleteFunction" in c.what and self.changes.named(c))
        said = f"the list of {len(self.seen.functions.rows)} functions does not contain it"
        return self._made("missing_function", "sure", said, *map(described, who))

    def _job(self):
        return next((j for j in self.seen.jobs.rows if j.function == self.one.function.name), None)

    def _not_called(self) -> Cause | None:
        """It did not start because its job is paused or disabled."""
        job = self._job()
        if not job or self.one.how != "not started" or job.state not in ("PAUSED", "DISABLED"):
            return None
        early = self.one.since - timedelta(hours=48)
        who = self.changes.before(lambda c: "Job" in c.what and self.changes.named(c), early)
        return self._made(
            "paused_scheduler", "sure", f"its job is {job.state}", *map(described, who), key=job.state, detail=job.name
        )

    def _attempted(self) -> tuple[str, ...]:
        """What the scheduler got at its last attempt, if nothing started."""
        job = self._job()
        return (f"the last call of the scheduler failed, code {job.code}",) if job and job.code else ()

    def _refused(self) -> Cause | None:
        """It did not start, and no text says why: what the scheduler got (google.rpc.Code)."""
        job = self._job()
        if not job or self.one.how != "not started":
            return None
        if job.code in (7, 16):
            who = self.changes.before(lambda c: "IamPolicy" in c.what)
            return self._made("permission", "sure", *map(described, who), key="permission")
        return self._made("capacity", "possible", key="capacity") if job.code == 8 else None

    def _undeployed(self) -> Cause | None:
        """Its last deployment failed, and the previous revision still runs."""
        if self.one.how != "not deployed":
            return None
        states = {r.name: r.state for r in self.seen.functions.rows if r.region == self.settings.region}
        sure = "likely" if states.get(self.one.function.name) == "ACTIVE" else "sure"
        return self._made("failed_deployment", sure, *self.quote(), *self.changes.described(self.changes.deploys))

    def _stuck(self) -> Cause | None:
        """A run has no end, its time limit has passed, and no error says why."""
        said = (t for t in self.one.lines if t.new and t.newest and t.place in ("run", "platform", "error"))
        if self.one.how != "no end" or any(not WENT_ON.search(line.text) for line in said):
            return None
        why = f"its limit of {self.one.function.timeout_s} s has passed and no log entry says why"
        return self._made("stuck_etl", "possible" if self.cut_off() else "likely", why)

    def _newest_change(self) -> Cause | None:
        """No text tells, but one of its own resources changed after its last successful run: the likely cause."""
        good = self.one.last_good
        if self.one.how == "not started" or not good:
            return None
        for row in self.changes.before(lambda c: c.at > good and bool(self.changes.kind(c)))[:1]:
            cause = self.changes.kind(row)
            key = {"secret": self.changes.of_secret(row), "auth_error": self.one.function.source_system}.get(cause, "")
            return self._made(cause, "likely", *self.quote(), f"shortly before: {described(row)}", key=key)
        return None

    def _unknown(self) -> Cause:
        deployed = (f"changed shortly before: {described(c)}" for c in self.changes.before(self.changes.deploys))
        key = "not started" if self.one.how == "not started" else shape(*self.one.news[:1])
        return self._made("unknown", "unknown", *self.quote(), *deployed, "no known code or text matches", key=key)

    # --- rules by text

    def _lead(self) -> Told | None:
        return next(iter(self.told[self.one.function.name]), None)

    def _by_text(self) -> Cause | None:
        """The cause that its texts tell, by the rules of that cause."""
        told = self._lead()
        if told is None:
            return None
        said = quoted(told.text) + (f" ({told.count} similar lines)" if told.count > 1 else "")
        if told.cause == "stuck_etl":
            return self._made("stuck_etl", "likely" if self.one.how == "no end" else "possible", said)
        if told.cause in ("crash_after_deploy", "bad_data", "failed_deployment"):
            return self._crash(told, said)
        if told.cause in ("dependency_outage", "own_network"):
            return self._outside(told, said)
        found = self._secret(said) if told.cause == "secret" else self._self_evident(told, said)
        against = self._against(told)
        return replace(found, confidence=self._confidence(told, against), against=against)

    def _confidence(self, told: Told, against: str, confirmed: bool = False) -> str:
        if told.match.row.hint:
            return "likely" if confirmed else "possible"
        agreed = told.plain or (confirmed and told.match.strength > 1)
        return "sure" if agreed and not against else "likely"

    def _against(self, told: Told) -> str:
        """The strongest evidence against a cause: who works although it would fail, or a second text."""
        if said := contradiction(told, self.one, self.everyone, self.seen, self.settings):
            return said
        rivals = (t for t in self.told[self.one.function.name][1:] if t.points >= told.points - NEAR)
        return next((f"another text: {quoted(t.text)}" for t in rivals if t.match.strength > 1), "")

    def _self_evident(self, told: Told, said: str) -> Cause:
        """Causes that a text states directly; earlier changes are further evidence."""
        cause, thing = told.cause, product(told, self.one)
        if cause == "permission":
            who = self.changes.before(lambda c: "IamPolicy" in c.what)
            ours = told.match.row.platform or provider(told, self.one) == "google"
            key = cause if ours else thing
            return self._made(cause, "", said, *map(described, who), key=key)
        if cause == "quota":
            lasts = "hours" if told.match.row.detail == "hours" or _FOR_HOURS.search(told.line.text) else "seconds"
            return replace(self._made(cause, "", said, f"it lasts for {lasts}", key=thing), detail=lasts)
        system = self.one.function.source_system
        if cause in ("auth_error", "certificate", "api_disabled", "model_retired", "lock"):
            return self._made(cause, "", said, key=system if cause in ("auth_error", "lock") else thing)
        return self._made(cause, "", said, key=cause if cause in SHARED else "")

    def _secret(self, said: str) -> Cause:
        """A version cannot be read; if it was disabled and the newest ones are enabled now, only a rerun is needed."""
        off = self.changes.off()
        states = (f"{r.secret}, version {r.version}, is {r.state}" for r in off)
        key = off[0].secret if off else self.one.function.source_system
        made = self._made("secret", "", said, *states, *self.changes.described(self.changes.of_secret), key=key)
        whole = {r.secret for r in self.seen.secrets.rows} >= set(self.one.function.secrets)
        if off and off[0].state == "DISABLED":
            return replace(made, detail=str(off[0].version))
        if off or not whole or not re.search("disabled", said, re.IGNORECASE):
            return made
        now = "the newest version of each of its secrets is enabled now"
        return replace(made, evidence=(*made.evidence, now), changed_since_last_run=True)

    def _outside(self, told: Told, said: str) -> Cause:
        """The other side answers with errors, or no answer came: theirs, or our own network that all share."""
        name, thing = provider(told, self.one), product(told, self.one)
        incidents = reported(self.seen, name, self.settings.region, self.one, thing if name == "google" else "")
        network = (
            []
            if incidents or not unanswered(told)
            else reported(self.seen, "google", self.settings.region, self.one, NETWORK)
        )
        titles = [f"{r.feed} reports: {r.title}" for r in (*incidents, *network)]
        thing = "google network" if network else thing
        leads = {s.function.name: next(iter(self.told[s.function.name]), None) for s in self.everyone}
        lost = {provider(t, s) for s in self.everyone if (t := leads[s.function.name]) and unanswered(t)}
        against = contradiction(told, self.one, self.everyone, self.seen, self.settings)
        ours, platform = told.cause == "own_network", told.line.place == "platform"
        if not titles and ((ours and (platform or not against)) or (unanswered(told) and len(lost) > 1)):
            shared = [f"no answer came from {' and '.join(sorted(lost))}"] if len(lost) > 1 else []
            sure = ours and told.plain and (len(lost) > 1 or platform)
            return self._made("own_network", "sure" if sure else "likely", said, *shared, key="own_network")
        together = sum(bool(t and t.cause == told.cause and product(t, self.one) == thing) for t in leads.values()) > 1
        hint = told.match.row.hint
        confidence = "likely" if (titles and hint) or together else "possible"
        if titles and not hint and not against:
            confidence = "sure"
        return self._made("dependency_outage", confidence, said, *titles, key=thing, against=against)

    def _crash(self, told: Told, said: str) -> Cause:
        """Bad data or a crash: a change of the table or of the code decides; without one, code that worked got other data."""
        deployed, altered = self.changes.before(self.changes.deploys), self.changes.before(self.changes.of_table)
        plain = told.cause == "bad_data" and told.match.strength > 1
        changed = None if altered or plain or deployed else self._newest_change()
        if changed:
            return changed
        if told.cause == "bad_data" and (altered or plain or not deployed):
            confidence = "sure" if altered and plain else "likely" if altered or plain else "possible"
            return self._made("bad_data", confidence, said, *map(described, altered), key=shape(told.text))
        if deployed:
            before = (f"deployed shortly before: {described(c)}" for c in deployed)
            sure = "sure" if told.line.newest and told.cause != "bad_data" else "likely"
            return self._made("crash_after_deploy", sure, said, *before, key=shape(told.text))
        name = told.match.signature.exception
        if self.one.last_good and name and name not in _ONLY_CODE and not told.match.row.hint:
            worked = "no deployment shortly before: the code is what worked before"
            return self._made("bad_data", "possible", said, worked, key=shape(told.text))
        return self._made("unknown", "unknown", said, "no deployment shortly before", key=shape(told.text))

    def _second(self, first: Cause) -> list[Cause]:
        """Another cause that the evidence allows, too, as a row of its own."""
        told = self.told[self.one.function.name]
        if first.confidence == "sure" or not told:
            return []
        known = first.cause != "unknown"
        rivals = [t for t in told if t.cause != first.cause and ((t is told[0] and known) or t.match.strength > 1)]
        found = [(t.cause, quoted(t.text)) for t in rivals if t.cause not in ("unknown", "failed_deployment")]
        if first.cause == "own_network" and not found:
            found = [("dependency_outage", quoted(told[0].text))]
        return [replace(self._made(c, "possible", said, key=first.key), second=True) for c, said in found[:1]]

    def quote(self) -> list[str]:
        """The first new text about it."""
        return [quoted(text) for text in self.one.news[:1]]

    def cut_off(self) -> list[Gap]:
        """A gap if the page of log entries was full and may lack the ones that tell why it fails."""
        logs, name = self.seen.logs, self.one.function.name
        count = Counter(r.function for r in logs.rows)
        loud = {function for function, rows in count.items() if rows > LOUD}
        mine = [r.at for r in logs.rows if (r.function == name if name in loud else r.function not in loud)]
        full = name in loud or len(mine) >= PAGE
        if not logs.more or not full or min(mine) <= self.one.since - SLACK or self._lead():
            return []
        line = f"gcloud functions logs read {name} --gen2 {self.settings.flags} --limit=50"
        return [
            Gap(f"log entries of {name} before {min(mine):%H:%M}", f"only the newest {len(mine):,} were read", line)
        ]
