"""A run, as a notebook drives it: start, read, check, query, close. Each verb delegates; nothing is decided here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runbook import draw, record, settings
from runbook.cloud.connect import Cloud, connect_now
from runbook.cloud.query import select
from runbook.errors import Refused, RunbookError
from runbook.facts.read import Answer, Ask, Read, bq_line, look
from runbook.journal import Journal
from runbook.moment import Moment, moment_of
from runbook.plan import Outcome, Plan
from runbook.report import Report, command
from runbook.request import Request, injected, parameters, request
from runbook.rows import Fact, Finding, Findings, Row, Verdict, join
from runbook.settings import Settings


def start(runbook: str, names: Mapping[str, Any]) -> Run:
    """Open a run of `runbook`; `names` are the notebook's globals, of which only its declared parameters are read.

    Checks the parameters, reads the settings, connects, takes the time from the cloud's clock, and makes the run's
    folder. Raises BadInput before anything is asked, NoAnswer and NoRecord.
    """
    declared = parameters(settings.RUNBOOKS / f"{runbook}.ipynb")
    unknown = {name: names[name] for name in injected(names.get("In", [])) if name not in declared and name in names}
    wanted = request(runbook, {name: names[name] for name in declared if name in names} | unknown)
    system = settings.load(wanted.environment)
    cloud, now, certain = connect_now(system, wanted.world)
    moment = moment_of(wanted.values.get("as_of", ""), now, system.zone)
    folder = Path(os.environ.get("RUNBOOK_RUN") or record.new_folder(system, runbook))
    journal = Journal(folder)
    run = Run(wanted, system, cloud, moment, certain, folder, journal)
    journal.write("START", runbook=runbook, parameters=wanted.values, target=cloud.target, at=moment.at.isoformat())
    return run


@dataclass(frozen=True)
class Seen:
    """The facts of one `run.read`, by the names that were given to them."""

    facts: Mapping[str, Fact]

    def __getattr__(self, name: str) -> Fact:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(f"nothing was read as {name!r}; there is {', '.join(self.facts)}") from None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = [{"fact": f.name, "rows": _count(f), "could not see": _holes(f)} for f in self.facts.values()]
        return draw.page(draw.table(rows) + draw.by_hand(f.line for f in self.facts.values()))


def _count(fact: Fact) -> str:
    return f"≥ {len(fact.rows):,}" if fact.more else f"{len(fact.rows):,}"


def _holes(fact: Fact) -> str:
    gone = [f"{name} is not there" for name in fact.absent]
    return "; ".join([*gone, *(f"{g.subject}: {g.why}" for g in fact.gaps)])


def _done(rows: list[Row]) -> Iterator[str]:
    """What the journal of a run says of each change that was begun, one a line."""
    ends = {row["number"]: row["state"] for row in rows if row["kind"] == "CONFIRM"}
    for row in rows:
        if row["kind"] == "INTENT":
            said = {"new": "done", None: "begun, not confirmed"}.get(ends.get(row["number"]), ends.get(row["number"]))
            yield f"{row['number']}. {row['change']['action']}, {row['change']['resource']}: {said}"


@dataclass
class Run:
    """One run: its request, settings, moment and cloud. Shown, it says where and when this is."""

    request: Request
    settings: Settings
    cloud: Cloud
    moment: Moment
    certain: bool
    folder: Path
    journal: Journal
    _facts: list[Fact] = field(default_factory=list)
    _checked: set[int] = field(default_factory=set)
    _findings: dict[str, Findings] = field(default_factory=dict)
    _outcome: Outcome | None = None
    _again: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An error in here tells what this run wrote before it, and never that nothing was changed."""
        try:
            yield
        except RunbookError as error:
            written = [row for row in self.journal.read() if row["kind"] == "WRITE"]
            if written:
                plan = written[0]["plan"]
                error.effect = f"Before this, changes of plan {plan} were sent:"
                error.effect += "".join(f"\n  {line}" for line in _done(self.journal.read()))
                error.next = f"{error.next} Then: runbook apply {plan}, which looks again and goes on.".lstrip()
            raise

    def read(self, *one: Ask, **several: Ask) -> Any:
        """Make reads, all at once. One unnamed read gives its Fact; named ones give a `Seen` with those names."""
        asks = {**{str(n): ask for n, ask in enumerate(one)}, **several}
        with self._told(), ThreadPoolExecutor(max_workers=len(asks)) as pool:
            facts = list(pool.map(lambda ask: look(ask, self.cloud, self.moment), asks.values()))
        self._facts += facts
        return facts[0] if len(one) == 1 and not several else Seen(dict(zip(asks, facts, strict=True)))

    def check(self, check: Callable[..., Findings], *facts: Fact, **asked: Any) -> Findings:
        """Judge facts, and what is asked where that matters; the findings count in the verdict.

        Judging again replaces what this check found before.
        """
        self._checked |= {id(fact) for fact in facts}
        found = check(*facts, self.settings, self.moment, **asked)
        self._findings[check.__name__] = found
        return found

    def judge(self, name: str, found: Findings, *facts: Fact, again: Mapping[str, str] | None = None) -> None:
        """Let findings that were made elsewhere, from these facts, count in the verdict.

        `again` has values of parameters for looking again, such as when it was noticed.
        """
        self._checked |= {id(fact) for fact in facts}
        self._findings[name] = found
        self._again |= again or {}

    def plan(self, make: Callable[..., Plan], seen: Seen, gates: Findings) -> Plan:
        """Make a plan; where there can be none, it says why and has no changes. Raises BadParameter."""
        from runbook.plans.parts import announced

        try:
            plan = make(self.request, seen, gates, self.settings, self.moment)
        except Refused as refusal:
            plan = Plan(self.request.runbook, "", (), {}, gates, refusal=refusal)
        given = {k: v for k, v in self.request.values.items() if k not in ("approved_plan", "apply")}
        place = {
            **{"runbook": self.request.runbook, "parameters": given, "environment": self.settings.environment},
            **{"project": self.settings.project, "target": self.cloud.target},
            "commit": record.commit() if self.cloud.target == "google" else "sandbox",
        }
        rule = self.settings.operations.get(plan.operation)
        if not rule and plan.changes:
            said = f"operations.{plan.operation} is missing, so nobody knows who must sign"
            plan = replace(plan, changes=(), refusal=Refused("params do not allow this", said, next="add its row."))
        window = self.settings.windows.get(rule.window) if rule else None
        preferred = f"{window.text}, {self.settings.time_zone}" if window else ""
        plan = replace(plan, place=place, rule=rule, preferred=preferred)
        return announced(plan, rule.tell, self.settings) if rule else plan

    def apply(self, plan: Plan) -> Outcome:
        """Without `approved_plan` only say what would be done; with it, refuse or do it. The only verb that writes."""
        from runbook.apply import apply
        from runbook.material import Material

        with self._told():
            outcome = apply(self, plan, Material(self.request.values.get("source", "")))
        if plan.operation != "notify":
            self._outcome = outcome
        elif outcome.result != "nothing to do":  # beside what the run is for
            self._findings["notify"] = outcome.findings
        return outcome

    def confirm(self, outcome: Outcome) -> Findings:
        """What became of each change, of the function since then and of the rows that were copied.

        Asks nothing when nothing was applied, except about copies that were there already.
        """
        from runbook.watch import compared, since

        found = compared(self, outcome)
        if outcome.result in ("applied", "failed", "unknown"):
            found = Findings((*outcome.findings, *since(self, outcome), *found))
        elif not found:
            row = Finding("confirm", outcome.plan.operation, "nothing was applied, so nothing is asked", "", Verdict.ok)
            found = Findings((row,))
        self._findings["confirm"] = found
        return found

    def query(self, sql: str, **values: Any) -> Fact:
        """Run one SELECT of your own, with values for its @parameters, behind the same door and cost cap.

        Raises OverCap, and Broken when it is not a SELECT; what could not be seen is a gap of the Fact.
        """

        def see() -> Answer:
            return Answer(select(self.cloud, sql, values, {"query": "own"}))

        asked = Read("own query", bq_line(self.cloud, sql, values), see, sql)
        with self._told():
            return look(lambda *_: asked, self.cloud, self.moment)

    def close(self) -> Report:
        """Sum up findings, gaps of facts that nobody checked, the verdict and the next step; writes report.json."""
        found = join(self._findings.values())
        forgotten = [f for f in self._facts if id(f) not in self._checked]
        extra = [
            Finding("not checked", g.subject, f"could not see: {g.why}", "seen", Verdict.unknown, g.next)
            for f in forgotten
            for g in f.gaps
        ]
        found = Findings((*found, *extra))
        if self._outcome and self._outcome.result == "refused":
            found = Findings((*found, *self._outcome.findings))
        report = Report(self._about(), found, self._next(found.worst), self._outcome, self.moment.past)
        with self._told():
            record.write_report(self.folder, report.plain() | {"folder": str(self.folder), "attested": False})
            self.journal.write("CLOSE", verdict=report.verdict.name)
        return report

    def _about(self) -> dict[str, str]:
        return {
            "runbook": self.request.runbook,
            "environment": self.settings.environment,
            "target": self.cloud.target,
            "project": self.settings.project,
            "world": self.cloud.world,
            "at": self.moment.at.isoformat(),
        }

    def _next(self, worst: Verdict) -> tuple[str, ...]:
        """What to do now: the runbook to run with its parameters filled in, and whom to call.

        A look back calls nobody, whatever it found: that may be over by now.
        """
        if self._outcome and self._outcome.result != "applied":
            return self._outcome.next or ("nothing.",)
        if self.moment.past:
            then = f"{self.moment.local(self.moment.at):%Y-%m-%d %H:%M %Z}"
            now = command(self.request.runbook, {k: v for k, v in self.request.values.items() if k != "as_of"})
            return (f"this looked back at {then}, and says nothing about now; to look at now: {now}",)
        place = {k: self.request.values[k] for k in ("environment", "world") if k in self.request.values}
        again = command(self.request.runbook, {**self.request.values, **self._again})
        if self._outcome:  # what it changed is there now: in an incident the P1 page says whether it was enough
            tied = {"incident": self.request.values.get("incident", "")}
            again = command("p1_response" if tied["incident"] else "daily_check", place | tied)
        if worst is Verdict.alert:
            call = self.settings.contacts.get("on-call")
            steps = [f"call {call.who} ({call.when})."] if call else []
            if self.request.runbook != "p1_response":
                steps.insert(0, f"find the cause: {command('p1_response', place)}")
            return (*steps, f"when it is mended, check again: {again}")
        if worst is Verdict.ok:
            return ("nothing; the next scheduled run looks again.",)
        return (f"when that is done, check again: {again}",)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        here = self.moment
        rows = {
            "runbook": self.request.runbook,
            "environment": self.settings.environment,
            "project": f"{self.settings.project}, {self.settings.region}",
            "looking at": f"{here.local(here.at):%A %Y-%m-%d %H:%M %Z} ({here.at:%Y-%m-%d %H:%M} UTC)"
            + (", looking back" if here.past else ", now"),
            "today": f"{here.today}, the team's day in {self.settings.time_zone}",
        }
        if self.cloud.target == "sandbox":
            top = draw.banner(f"SANDBOX: practice data, not the real system. World: {self.cloud.world}", "warn")
        else:
            writes = self.request.values.get("approved_plan") or self.request.values.get("apply")
            what = "this run may change it, as approved" if writes else "this run only reads"
            top = draw.banner(f"Google Cloud: the real system; {what}.", "warn" if writes else "unknown")
            rows |= {"run": self.folder.name, "code": record.commit()}
        if not self.certain:
            top += draw.banner("No Google API answered; the time is this machine's.", "unknown")
        return draw.page(top + draw.table([{"where and when": k, " ": v} for k, v in rows.items()]))
