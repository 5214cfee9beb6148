"""The P1 page: severity, causes, next steps and whom to call (guide: Incident Response, Contacts)."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from runbook.config import Request, Settings, names_of
from runbook.context import Context
from runbook.display import Row, blocks, few, one_line, show
from runbook.incidents.affected import Evidence
from runbook.incidents.answer import answer
from runbook.incidents.causes import Cause, Causes
from runbook.incidents.diagnosis import diagnose
from runbook.incidents.headroom import Headroom, headroom_of
from runbook.incidents.recovery import Short, short
from runbook.incidents.remedies import FIXES, exceeded, remedy_steps
from runbook.incidents.severity import severity
from runbook.model import INTERNAL, Fact, FactRow, Finding, Findings, Moment, Refused, Seen, Shown, Verdict, moment_of
from runbook.model.plan import Plan
from runbook.plans.base import message, rows_of

# The guide's table "Severity Levels": response times.
ANSWER = {"P1": timedelta(minutes=15), "P2": timedelta(hours=1), "P3": timedelta(hours=4), "P4": timedelta(days=1)}
ANSWER["unknown"] = ANSWER["P1"]
TOLD = "{} was notified at {}, says a note in the record store. Whoever may write there can forge it: no answer? Call."
COLOUR = {"P1": Verdict.alert, "P2": Verdict.alert, "P3": Verdict.warn, "unknown": Verdict.unknown}


class PageStep(FactRow):
    """A step for a cause or a gap; `notebook` is the runbook that the command runs, "" for any other command."""

    cause: str
    do: str
    command: str
    notebook: str
    of: Cause | None = field(metadata=INTERNAL)


@dataclass(frozen=True)
class Page:
    """A severity, its causes, and the steps for each; `findings` is the same content for the verdict.

    `headroom` compares runs that hit a limit with that limit, `short` is the data that an outage left short (see
    incidents/headroom.py and recovery.py).
    """

    severity: str
    why: str
    answer_by: datetime
    causes: Causes
    steps: tuple[PageStep, ...]
    people: tuple[Row, ...]
    short: Fact[Short]
    headroom: tuple[Headroom, ...] = ()

    # Whether somebody must respond: a function fails, or nobody can tell.
    judged = property(lambda self: bool(self.causes) or self.severity == "unknown")

    @property
    def findings(self) -> Findings:
        """The severity, one finding for each cause, an unknown for each gap, and what is short after a repair."""
        rows = []
        if not self.causes and not self.causes.unknowns:
            rows = [Finding("function now", "all functions", "no failing function found", "none", Verdict.ok)]
        if self.judged:
            verdict = Verdict.alert if self.causes else Verdict.unknown
            rows = [Finding("severity", self.severity, self.why, f"respond by {show(self.answer_by)}", verdict)]
        for c in self.causes:
            first = next((": ".join(filter(None, (s.do, s.command))) for s in self.steps if s.of is c), "")
            said = f"{c.title} ({c.confidence})"
            rows.append(Finding("cause", few(c.functions), said, "none", Verdict.alert, first))
        for g in self.causes.unknowns:
            rows.append(Finding("read", g.subject, f"could not read: {g.why}", "complete", Verdict.unknown, g.next))
        for s in (s for s in self.short.rows if s.ran_again):
            step = s.command or s.do
            rows.append(Finding("data is missing", s.function, s.said, "nothing is missing", Verdict.warn, step))
        return Findings(tuple(rows))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        verdict = COLOUR.get(self.severity, Verdict.ok).name
        text = self.said
        if self.judged:
            text += f". Respond by {show(self.answer_by)}"
        return blocks.page(blocks.banner(text, verdict))

    def notice(self, request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
        """A message to each contact in `request.notify` not yet notified of this incident, or why there is none."""
        plan, contacts = Plan("notify", "", (), {}, Findings()), names_of(request.notify)
        try:
            notified = {row.contact: show(row.at) for row in rows_of(seen.notified, "a message")} if contacts else {}
        except Refused as refusal:
            return replace(plan, refusal=refusal)
        title = f"{request.incident}, {self.severity}: {self.why}"
        head = f"{settings.project}, {settings.region}. Respond by {show(self.answer_by)}."
        text = "\n".join(map(one_line, (head, *_cause_lines(self))))
        changes = tuple(message(c, title, text, request.incident) for c in contacts if c not in notified)
        notes = tuple(TOLD.format(contact, notified[contact]) for contact in contacts if contact in notified)
        return replace(plan, changes=changes, notes=notes)

    # The steps, one in each row, with commands to copy; and the contacts by role.
    what_next = property(lambda self: Shown(blocks.table([s.shown for s in self.steps], "nothing to do")))
    whom_to_call = property(lambda self: Shown(blocks.table(r | {"how": r["how"] or "not set"} for r in self.people)))

    @property
    def said(self) -> str:
        """The severity and its reason; without a failing function, no severity."""
        return f"Severity {self.severity}: {self.why}" if self.judged else self.why.capitalize()


def page(run: Context, seen: Seen) -> Page:
    """The P1 page from what was read."""
    facts = Evidence(*(getattr(seen, name) for name in Evidence._fields))
    causes = diagnose(facts, run.settings, run.moment)
    headroom = headroom_of(causes, facts, run.settings)
    given = run.request.values.get("detected_at", "")
    known = [run.moment.at, *(row.at for row in seen.noticed.rows)]  # the deadline of an incident does not move
    began = moment_of(given, run.moment.at, run.settings.zone, "detected_at").at if given else min(known)
    level, why = severity(causes, facts, run.settings, run.moment)
    by = run.moment.local(began + ANSWER[level])
    place = {key: run.request.values.get(key, "") for key in ("environment", "world", "function", "incident")}
    fixes = ((c, remedy_steps(c, run.settings, run.moment, place, headroom)) for c in causes)
    told = ((c, (*exceeded(c, run.settings, facts.quotas), *found)) for c, found in fixes)
    steps = [PageStep(c.title, *step, of=c) for c, found in told for step in found]
    lines = [step.command for step in steps]
    steps = [step for n, step in enumerate(steps) if not step.command or step.command not in lines[:n]]
    steps += [PageStep(f"could not read {g.subject}", g.next, "", "", None) for g in causes.unknowns if g.next]
    if place["incident"] and level in ("P1", "unknown"):
        line = f'runbook open {place["incident"]} --env {place["environment"]} --severity {level} --reason "…"'
        steps.append(PageStep("nobody else can sign now", "open it as on-call; then sign alone", line, "", None))
    rows = tuple(short(facts, run.settings, run.moment, place))
    missing = Fact("missing data", rows, "", run.moment.at, gaps=facts.runs.gaps, zone=run.moment.zone)
    found = Page(level, why, by, causes, tuple(steps), tuple(_people(causes, level, run.settings)), missing, headroom)
    run.answer = tuple(answer(found))
    again = {"detected_at": run.moment.parameter(began)} if causes else {}
    run.judge("causes", found.findings, *facts, again=again)
    return found


def _people(causes: Causes, severity: str, settings: Settings) -> list[Row]:
    roles = ["on-call"] if severity in ("P1", "P2") else []
    roles += [FIXES[c.cause]["call"] for c in causes if "call" in FIXES.get(c.cause, {})]
    known = [role for role in dict.fromkeys([*roles, "team-lead"]) if role in settings.contacts]
    found = ((role, settings.contacts[role]) for role in known)
    return [{"role": role, "who": one.who, "how": one.how, "for": one.when} for role, one in found]


def support_case(run: Context, found: Page) -> Shown:
    """The text of a support case, ready to paste."""
    head = f"Project {run.settings.project}, region {run.settings.region}. {found.said}."
    return Shown(blocks.verbatim("\n".join((head, *_cause_lines(found)))))


def _cause_lines(found: Page) -> list[str]:
    """The causes and the gaps, one in each line."""
    lines = [f"- {c.title} ({c.confidence}) since {show(c.since)}: {'; '.join(c.shown_evidence)}" for c in found.causes]
    return [*lines, *(f"- could not read {g.subject}: {g.why}" for g in found.causes.unknowns)]
