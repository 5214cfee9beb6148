"""A run, as a notebook uses it: start, read, check, plan, apply, confirm, close. Each method delegates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbook.checks.base import gap_findings, one
from runbook.cloud.connect import connect_now
from runbook.cloud.query import select
from runbook.cloud.target import request_on_target
from runbook.config import RUNBOOKS, declared_parameters, injected, load_settings, params_directory
from runbook.context import KERNEL, Context
from runbook.display import blocks
from runbook.facts.base import Answer, Ask, Read, bq_line, observe, observe_all
from runbook.model import Fact, Findings, Refused, RunbookError, Seen, Shown, Verdict, join, known_findings, moment_of
from runbook.model.outcome import Outcome
from runbook.model.plan import Plan
from runbook.model.report import Report
from runbook.records import Journal, code, state, write_json
from runbook.records.record import new_directory, store_of
from runbook.session.answer import answer
from runbook.session.next_steps import moved_on, next_steps


def start(runbook: str, names: Mapping[str, Any]) -> "Run":
    """Start a run of `runbook`. `names` are the notebook's globals; only its declared parameters are read.

    Checks the parameters, reads the settings, connects, reads the cloud's clock, and makes the run's folder. Raises
    BadInput before the first request, NoAnswer and NoRecord.
    """
    declared = declared_parameters(RUNBOOKS / f"{runbook}.ipynb")
    unknown = {name: names[name] for name in injected(names.get("In", [])) if name not in declared and name in names}
    wanted = request_on_target(runbook, {name: names[name] for name in declared if name in names} | unknown)
    system = load_settings(wanted.environment)
    cloud, now, clock_trusted = connect_now(system, wanted.world, KERNEL.prefetch)
    moment = moment_of(wanted.values.get("as_of", ""), now, system.zone)
    KERNEL.plan = KERNEL.told.compare or wanted.values.get("approved_plan", "")
    folder = KERNEL.directory or new_directory(system, runbook)
    run = Run(wanted, system, cloud, moment, clock_trusted, folder, Journal(folder))
    run.journal.write("START", runbook=runbook, parameters=wanted.values, target=cloud.target, at=moment.at.isoformat())
    return run


@dataclass
class Run(Context):
    """One run: its request, settings, moment and cloud. Its display says which system, and at what time."""

    outcome: Outcome | None = None
    known: Sequence[Any] = ()

    def read(self, *one: Ask, **several: Ask) -> Any:
        """Make reads in parallel. One unnamed read returns its Fact; named reads return a `Seen` with those names."""
        seen = observe_all(self, {str(n): ask for n, ask in enumerate(one)} | several)
        return seen.facts["0"] if len(one) == 1 and not several else seen

    def check(self, check: Callable[..., Findings], *facts: Fact, **asked: Any) -> Findings:
        """Run a check on facts, with its keyword arguments; the findings count in the verdict.

        Running the same check again on the same reads replaces its earlier findings.
        """
        found = check(*facts, self.settings, self.moment, **asked)
        return self.judge((check.__name__, repr(asked)), found, *facts)

    def plan(self, make: Callable[..., Plan], seen: Seen, gates: Findings) -> Plan:
        """Make a plan. If that is not possible, the plan has no changes and a refusal. Raises BadParameter."""
        from runbook.plans.base import announced

        try:
            plan = make(self.request, seen, gates, self.settings, self.moment)
        except Refused as refusal:
            plan = Plan(self.request.runbook, "", (), {}, gates, refusal=refusal)
        given = {k: v for k, v in self.request.values.items() if k not in ("approved_plan", "apply", "ask")}
        origin = {"runbook": self.request.runbook, "parameters": given, "environment": self.settings.environment}
        origin |= {"project": self.settings.project, "target": self.cloud.target, "commit": "sandbox"}
        if self.cloud.target == "google":
            origin |= {"commit": str(code()), "params": state(params_directory()).digest}
        rule = self.settings.operations.get(plan.operation)
        if not rule and plan.changes:
            said = f"operations.{plan.operation} is missing, so the required approvers are unknown"
            plan = replace(plan, changes=(), refusal=Refused("params do not allow this", said, next="add that row."))
        window = self.settings.windows.get(rule.window) if rule else None
        preferred = f"{window.text}, {self.settings.time_zone}" if window else ""
        plan = replace(plan, origin=origin, rule=rule, preferred=preferred)
        return announced(plan, rule.notify, self.settings) if rule else plan

    def apply(self, plan: Plan) -> Outcome:
        """Without `approved_plan`, only show the plan; with it, refuse or apply it. The only method that writes."""
        from runbook.apply.apply import apply
        from runbook.apply.secret_value import SecretValue

        with self.errors_tell_what_was_written():
            outcome = apply(self, plan, SecretValue(self.request.values.get("source", "")))
        if not plan.only_notifies:
            self.outcome = outcome
        elif outcome.result != "nothing to do":  # a message is not the purpose of the run
            self.findings["notify"] = outcome.findings
        return outcome

    def confirm(self, outcome: Outcome) -> Findings:
        """Verify each change, the function's runs and errors since then, and the copied rows.

        If nothing was applied, only copies that were already there are verified.
        """
        from runbook.apply.confirm import backed_up, compared, since

        backed_up(self, outcome)
        found = self.findings["confirm"] = compared(self, outcome)
        if outcome.result in ("applied", "failed", "unknown"):
            found = Findings((*outcome.findings, *since(self, outcome), *found))
        elif not found:
            found = one("confirm", outcome.plan.operation, "not applied; nothing to verify", "", Verdict.ok)
        self.findings["confirm"] = found
        return found

    def acknowledged(self) -> Shown:
        """What somebody has signed to know of (`runbook ack`): until its end, an alert of it counts as a warning.

        Its findings stay in the verdict, with who, until when and why.
        """
        from runbook.approvals.signed import Ack, acks
        from runbook.approvals.signers import signers_of

        ignored = list[str]()
        try:
            if (store := store_of(self.settings)).children(Ack.folder):
                self.known = acks(store, signers_of(self.settings, self.cloud.target), self.moment.at, ignored)
        except RunbookError as error:  # nobody may sign here, or the store does not answer
            ignored.append(f"{error.what} {error.observed}".strip())
        names = ("check", "subject", "until", "person", "reason")
        block = blocks.table([{name: getattr(ack, name) for name in names} for ack in self.known], "none")
        return Shown(block + blocks.notes(f"Ignored: {line}" for line in ignored))

    def query(self, sql: str, **values: Any) -> Fact:
        """Run one SELECT of your own, with values for its @parameters, under the same guard and cost cap.

        Raises OverCap, and Broken if it is not a SELECT. What could not be read is a gap of the Fact.
        """
        line = bq_line(self.cloud, sql, values)
        asked = Read("own query", line, lambda: Answer(select(self.cloud, sql, values, {"query": "own"})), sql)
        with self.errors_tell_what_was_written():
            fact = replace(observe(lambda *_: asked, self.cloud, self.moment), question=asked.line)
        self.facts.append(fact)
        self.checked.add(id(fact))  # it counts only if a check uses it
        return fact

    def close(self) -> Report:
        """Summarize the findings, the gaps of unchecked facts, the verdict and the next steps; write report.json."""
        parts = [*self.findings.values(), *(gap_findings("not checked", f, "read") for f in self.unchecked)]
        if self.outcome and self.outcome.result == "refused":
            parts.append(self.outcome.findings)
        found = known_findings(moved_on(self, self.outcome, join(parts)), self.known)
        steps = next_steps(self, self.outcome, found)
        about = {"runbook": self.request.runbook, "environment": self.settings.environment, "target": self.cloud.target}
        about |= {"project": self.settings.project, "world": self.cloud.world, "at": self.moment.at.isoformat()}
        said = self.outcome.lines if self.outcome else self.answer
        report = Report(about, found, steps, self.outcome, self.moment.past, said)
        with self.errors_tell_what_was_written():
            write_json(self.folder / "report.json", {**report.plain(), "folder": str(self.folder), "attested": False})
            self.journal.write("CLOSE", verdict=report.verdict.name)
        answer(report)
        return report

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        here, when = self.moment, "in the past" if self.moment.past else "now"
        rows = {"runbook": self.request.runbook, "environment": self.settings.environment}
        rows["project"] = f"{self.settings.project}, {self.settings.region}"
        rows["time"] = f"{here.local(here.at):%A %Y-%m-%d %H:%M %Z} ({here.at:%Y-%m-%d %H:%M} UTC), {when}"
        rows["today"] = f"{here.today}, the team's day in {self.settings.time_zone}"
        if self.cloud.target == "sandbox":
            top = blocks.banner(f"SANDBOX: practice data, not the real system. World: {self.cloud.world}", "warn")
        else:
            writes = self.request.values.get("approved_plan") or self.request.values.get("apply")
            what = "this run may change it" if writes else "this run only reads"
            top = blocks.banner(f"Google Cloud: the real system; {what}.", "warn" if writes else "unknown")
            rows |= {"run": self.folder.name, "code": str(code())}
        if not self.clock_trusted:
            top += blocks.banner("No Google API answered; the time is from this machine's clock.", "unknown")
        return blocks.page(top + blocks.table([{"system and time": k, " ": v} for k, v in rows.items()]))
