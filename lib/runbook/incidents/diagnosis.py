"""Why functions are failing: facts in, ranked causes out. Pure; based on tables of codes and on timing.

Every failing function gets a cause: from its state (case.py), from what its texts say (weighing.py), from changes
between its last good run and the failure, or from what feeds it. `sure`: a code or the platform says it and nothing
contradicts it, or two sources agree. If nothing tells, the cause is `unknown`. Old data behind green runs: severity.py.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from runbook.config.schema import Settings
from runbook.incidents.affected import Evidence, described, find, shape
from runbook.incidents.case import NETWORK, NO_ANSWER, Case, product, provider, reported, unanswered
from runbook.incidents.causes import CONFIDENCE, Cause, Causes, merged, quoted
from runbook.incidents.severity import green_but_wrong, upstream
from runbook.incidents.texts.codes import tables
from runbook.incidents.texts.signatures import FORMS
from runbook.incidents.texts.weighing import NEAR, Told, weighed
from runbook.model import Gap, Moment

WORKS = ("failed_deployment",)  # what does not keep a function from working comes last
BY_CHANGE = ("crash_after_deploy", "bad_data", "failed_deployment")
# Functions that fail because of it share one cause: of the whole system, of a source system, or of a product.
SHARED = ("billing", "service_account", "organization_policy", "capacity", "image_missing")
PER_SYSTEM, PER_PRODUCT = ("auth_error", "lock"), ("quota", "certificate", "api_disabled", "model_retired")

# New code may name a wrong model, table, account or secret: then a deployment shortly before speaks against these.
NAMED_BY_CODE = ("model_retired", "table_missing", "permission", "auth_error", "secret", "service_account")


def diagnose(seen: Evidence, settings: Settings, moment: Moment) -> Causes:
    """All causes: those that keep a function from working first, ranked by confidence, then by the number of functions,
    then by the start of the failure.
    """
    unknowns = tuple(gap for fact in seen for gap in fact.gaps)
    if seen.runs.more:
        unknowns += (Gap("older runs", f"only the newest {len(seen.runs.rows):,} were read"),)
    everyone = tuple(find(seen, settings, moment))
    known = tables(tuple(tuple(row.model_dump().items()) for row in settings.signatures))
    told = {one.function.name: weighed(one.lines, known, one.function.source_system) for one in everyone}
    cases = {one.function.name: Diagnosed(one, seen, everyone, told, settings) for one in everyone}
    found: dict[tuple[str, str], Cause] = {}
    for cause in (cause for case in cases.values() for cause in case.or_of_source(cases)):
        before = found.get((cause.cause, cause.key))
        found[cause.cause, cause.key] = merged(before, cause) if before else cause
    rows = [*found.values(), *green_but_wrong(seen, everyone, settings, moment)]
    rows.sort(key=lambda c: (c.second, c.cause in WORKS, CONFIDENCE.index(c.confidence), -len(c.functions), c.since))
    return Causes(tuple(rows), everyone, unknowns + tuple(gap for case in cases.values() for gap in case.cut_off()))


class Diagnosed(Case):
    """A case with its causes; here are the rules by what its texts tell."""

    @cached_property
    def causes(self) -> list[Cause]:
        """The cause from the first rule that matches, and a second one if the evidence allows two."""
        by_state = {"gone": self.gone, "not started": self.not_called, "not deployed": self.undeployed}
        own = [by_state[self.one.how]] if self.one.how in by_state else []
        rules = (*own, self.region, self.by_text, self.stuck, self.newest_change, self.refused, self.on_status_page)
        found = next((cause for rule in rules if (cause := rule())), None) or self.unknown()
        later = [f"changed after its last run: {described(c)}" for c in self.since_last_run(found.cause)]
        tried = [f"the last call of the scheduler failed, code {self.job.code}"] if self.job and self.job.code else []
        evidence = (f"{self.name}: {self.one.symptom}", *found.evidence, *tried, *later)
        first = replace(found, evidence=evidence, changed_since_last_run=found.changed_since_last_run or bool(later))
        return [first, *self.second(first)]

    def or_of_source(self, cases: Mapping[str, Any]) -> list[Cause]:
        """Its causes; those of what feeds it, if its own texts only say that data is missing. `cases` by function."""
        starved = any(FORMS["starved"].search(line.text) for line in self.one.lines)
        if starved and self.causes[0].cause in ("unknown", "bad_data"):
            above = [cases[name] for name in upstream(self.one.function, self.settings) if name in cases]
            for root in (c for c in above if c.one.since <= self.one.since and c.causes[0].cause != "unknown"):
                said = (f"{self.name}: {self.one.symptom}; it reads the data of {root.name}", *self.quote())
                return [replace(root.causes[0], functions=(self.name,), evidence=said, fed=True)]
        return self.causes

    def by_text(self) -> Cause | None:
        """The cause that its weightiest text tells, by the rules of that cause."""
        if not (told := self.lead):
            return None
        said = quoted(told.text) + (f" ({told.count} similar lines)" if told.count > 1 else "")
        if told.cause == "stuck_etl":
            return self.made("stuck_etl", "likely" if self.one.how == "no end" else "possible", said)
        rules = {**dict.fromkeys(BY_CHANGE, self.code_or_data), **dict.fromkeys(NO_ANSWER, self.outside)}
        found = rules.get(told.cause, self.self_evident)(told, said)
        return replace(found, confidence="likely") if (told.line.place, found.confidence) == ("bare", "sure") else found

    def self_evident(self, told: Told, said: str) -> Cause:
        """Causes that a text states directly; earlier changes are further evidence."""
        cause, thing, who = told.cause, product(told, self.one), list[str]()
        one_for = {**dict.fromkeys(PER_PRODUCT, thing), **dict.fromkeys(PER_SYSTEM, self.system)}
        key = one_for.get(cause, cause if cause in SHARED else "")
        made = self.made(cause, "", said, key=key)
        if cause == "secret":
            made = self._secret(said)
        elif cause == "permission":
            who = self.granted()
            google = told.match.row.platform or provider(told, self.one) == "google"
            made = self.made(cause, "", said, *who, key=cause if google else thing)
        elif cause == "quota":
            long = told.match.row.detail == "hours" or FORMS["for_hours"].search(told.line.text)
            lasts = "hours" if long else "seconds"
            made = self.made(cause, "", said, f"it lasts for {lasts}", key=thing, detail=lasts)
        against = self._against(told)
        sure = (told.plain or (who and told.match.strength > 1)) and not against
        vague = told.match.row.hint or told.line.place == "warning"
        confidence = "possible" if vague and not who else "sure" if sure else "likely"
        return replace(made, confidence=confidence, against=against)

    def _secret_is_off(self, told: Told, clear: bool) -> bool:
        """Whether a text names a secret of it that is off; or, if it is not `clear`, one was switched off before."""
        text = re.sub(r"\W", "_", told.text.lower())
        named = any(re.sub(r"\W", "_", one.secret.lower()) in text for one in self.off())
        return named or (not clear and any(self.kind(change) == "secret" for change in self.before(self.of_secret)))

    def _against(self, told: Told) -> str:
        """The strongest evidence against a cause: who works although it would fail, a second text, or a deployment."""
        rivals = (t for t in self.told[self.name][1:] if t.points >= told.points - NEAR and t.match.strength > 1)
        other = next((f"another text: {quoted(t.text)}" for t in rivals), "")
        named = self.described(self.deploys) if told.cause in NAMED_BY_CODE else ()
        return self.contradiction(told) or other or "".join(f"deployed shortly before: {said}" for said in named[:1])

    def _secret(self, said: str) -> Cause:
        """A version cannot be read; if it was disabled and the newest ones are enabled now, only a rerun is needed."""
        off = self.off()
        states = (f"{r.secret}, version {r.version}, is {r.state}" for r in off)
        evidence = (said, *states, *self.described(self.of_secret))
        made = self.made("secret", "", *evidence, key=off[0].secret if off else self.system)
        if off and off[0].state == "DISABLED":
            return replace(made, detail=str(off[0].version))
        whole = {r.secret for r in self.seen.secrets.rows} >= set(self.one.function.secrets)
        if off or not whole or not re.search("disabled", said, re.IGNORECASE):
            return made
        now = "the newest version of each of its secrets is enabled now"
        return replace(made, evidence=(*evidence, now), changed_since_last_run=True)

    def outside(self, told: Told, said: str) -> Cause:
        """The other side answers with errors, or no answer came: theirs, or our own network that all share."""
        name, thing, region = provider(told, self.one), product(told, self.one), self.settings.region
        incidents = reported(self.seen, name, region, self.one, thing if name == "google" else "")
        if not incidents and unanswered(told):
            incidents = reported(self.seen, "google", region, self.one, NETWORK)
            thing = "google network" if incidents else thing
        leads = [(s, self.told[s.function.name][0]) for s in self.everyone if self.told[s.function.name]]
        lost = sorted({provider(t, s) for s, t in leads if unanswered(t)})
        against = self.contradiction(told)
        platform, several = told.line.place == "platform", len(lost) > 1
        # A name that only one vendor's functions cannot resolve is the vendor's, if all of them are hit.
        alone = self.told.keys() >= {f.name for f in self.settings.functions if f.source_system == self.system}
        ours = told.cause == "own_network" and not (told.match.row.hint and against and alone)
        everybody = len(lost) > 2  # no incident of one vendor explains it
        # Such as a refusal of our own proxy: an incident of one vendor does not explain it, one of the network does.
        plainly_ours = ours and not told.match.row.hint and not reported(self.seen, "google", region, self.one, NETWORK)
        if (not incidents or everybody or plainly_ours) and (ours or (unanswered(told) and several)):
            shared = [f"no answer came from {' and '.join(lost)}"] if several else []
            confidence = "likely" if several or not against else "possible"
            confidence = "sure" if ours and told.plain and (several or platform) else confidence
            return self.made("own_network", confidence, said, *shared, key="own_network", against=against)
        titles = [f"{r.feed} reports: {r.title}" for r in incidents]
        together = sum(t.cause == told.cause and product(t, s) == thing for s, t in leads) > 1
        if not (titles or together or len(self.one.runs) > 1) and FORMS["cut_off"].search(told.text):
            return self.made("unknown", "unknown", said, "one connection was cut off; nothing shows by whom", key=thing)
        sure = titles and told.match.strength > 1 and not against
        confidence = "sure" if sure else "likely" if titles or together else "possible"
        return self.made("dependency_outage", confidence, said, *titles, key=thing, against=against)

    def code_or_data(self, told: Told, said: str) -> Cause:
        """A change of the table or of the code decides; without one, code that worked before has got other data."""
        deployed, altered = self.before(self.deploys), self.before(self.of_table)
        plain, key = told.cause == "bad_data" and told.match.strength > 1, shape(told.text)
        fits = altered and told.cause == "bad_data"
        if told.cause != "failed_deployment" and self._secret_is_off(told, plain or bool(deployed)):
            return replace(self._secret(said), confidence="likely")
        if not (fits or plain or deployed) and (changed := self.newest_change()):
            return changed
        if fits:
            return self.made("bad_data", "sure" if plain else "likely", said, *map(described, altered), key=key)
        if plain:
            return self.made("bad_data", "likely", said, key=key)
        if deployed:
            before = (f"deployed shortly before: {described(c)}" for c in deployed)
            sure = told.line.newest and told.cause != "bad_data" and not told.match.row.hint
            return self.made("crash_after_deploy", "sure" if sure else "likely", said, *before, key=key)
        if told.cause == "bad_data":
            worked = "no deployment shortly before: the code is what worked before"
            return self.made("bad_data", "possible", said, worked, key=key)
        return self.made("unknown", "unknown", said, "no deployment shortly before", key=key)

    def second(self, first: Cause) -> list[Cause]:
        """Another cause that the evidence allows, too, as a row of its own."""
        told = self.told[self.name]
        if first.confidence == "sure" or not told or self.one.how in ("not deployed", "gone"):
            return []
        known = first.cause != "unknown"
        rivals = [t for t in told if t.cause != first.cause and ((t is told[0] and known) or t.match.strength > 1)]
        beside = () if self.before(self.deploys) else ("crash_after_deploy",)
        found = [(t.cause, quoted(t.text)) for t in rivals if t.cause not in ("failed_deployment", *beside)]
        # If no answer came, nothing in the text shows on which side it was lost.
        if not found and (first.cause == "own_network" or (first.cause == "dependency_outage" and unanswered(told[0]))):
            found = [(next(cause for cause in NO_ANSWER if cause != first.cause), quoted(told[0].text))]
        return [self.made(cause, "possible", said, key=first.key, second=True) for cause, said in found[:1]]
