"""The P1 page: causes in the shipped worlds, severities, next steps, and that it comes whatever cannot be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook import charts, facts, p1, settings
from runbook.diagnosis import diagnose
from runbook.facts.read import look
from runbook.moment import Moment
from runbook.request import Request
from runbook.rows import Fact, Gap, Verdict
from runbook.sick import Seen

ASKS = {
    "functions": facts.functions(),
    "runs": facts.recent_runs(hours=48),
    "logs": facts.errors(hours=24, severity="WARNING"),
    "changes": facts.changes(hours=48),
    "secrets": facts.secrets(),
    "jobs": facts.jobs(),
    "feeds": facts.feeds(),
}
# World → the causes that must be found, with the functions that they make sick.
CAUSES: dict[str, dict[str, set[str]]] = {
    "healthy": {},
    "many_errors": {"auth_error": {"gmail-sync"}},
    "stale_scores": {"memory_limit": {"account-scoring"}},
    "no_backup": {},
    "pinned_traffic": {},
    "old_secret": {},
    "outside_window": {},
}


class Stub:
    """As much of a run as the page needs."""

    def __init__(self, moment: Moment, **values: str):
        self.settings, self.moment = settings.load("sandbox"), moment
        self.request = Request("p1_response", {"environment": "sandbox", "world": "", "incident": "", **values})
        self.judged: dict[str, Any] = {}

    def judge(self, name: str, found: Any, *_: Any) -> None:
        self.judged[name] = found


def seen_in(make: Callable[..., Any], world: str) -> tuple[Seen, Moment]:
    cloud, moment = make(world)
    return Seen(**{name: look(ask, cloud, moment) for name, ask in ASKS.items()}), moment


@pytest.mark.parametrize("world", CAUSES)
def test_causes_of_a_world(sandbox: Callable[..., Any], world: str) -> None:
    seen, moment = seen_in(sandbox, world)
    found = diagnose(seen, p1.patterns(), settings.load("sandbox"), moment)
    assert {c.cause: set(c.functions) for c in found} == CAUSES[world], found.plain()
    assert all(c.evidence and c.since for c in found)


def test_what_did_not_start_for_no_known_reason_is_one_unknown(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "quiet_morning")
    (found,) = diagnose(seen, p1.patterns(), settings.load("sandbox"), moment)
    assert (found.cause, found.confidence) == ("unknown", "unknown")
    assert len(found.functions) > 3
    assert all("not started" in e or "nothing that is known" in e for e in found.evidence)


@pytest.mark.parametrize("more", [True, False])
def test_what_the_newest_thousand_runs_do_not_show_is_not_told_as_missing(
    sandbox: Callable[..., Any], more: bool
) -> None:
    seen, moment = seen_in(sandbox, "healthy")
    newest = tuple(r for r in seen.runs.rows if r["function"] == "gmail-sync")
    seen = seen._replace(runs=replace(seen.runs, rows=newest, more=more))
    found = diagnose(seen, p1.patterns(), settings.load("sandbox"), moment)
    assert bool(found.sick) is not more
    assert any("older runs: only the newest" in text for text in found.blind) is more


def test_the_cap_of_runs_is_noticed(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    many = tmp_path / "many.yaml"
    many.write_text("about: Many runs.\nnow: 2026-03-11T13:30:00Z\nbulk: {runs: 20000}\n")
    runs = [look(facts.recent_runs(hours), *sandbox(world)) for hours, world in ((10_000, str(many)), (48, "healthy"))]
    assert [(len(r.rows) == 1000, r.more) for r in runs] == [(True, True), (False, False)]


def test_a_function_that_is_gone(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "missing_function")
    found = diagnose(seen, p1.patterns(), settings.load("sandbox"), moment)
    assert any("missing" in e or "due" in e for c in found for e in c.evidence)


def test_nothing_seen_is_never_nothing_broken(sandbox: Callable[..., Any]) -> None:
    _, moment = sandbox("healthy")
    gap = (Gap("everything", "no answer"),)
    blind = Seen(*(Fact(name, (), "", moment.at, gaps=gap) for name in Seen._fields))
    found = p1.page(Stub(moment), type("S", (), blind._asdict()))  # type: ignore[arg-type]
    assert found.findings.worst is Verdict.unknown
    assert "could be seen" in found.why


@pytest.mark.parametrize("name", Seen._fields)
def test_the_page_comes_when_one_read_fails(sandbox: Callable[..., Any], name: str) -> None:
    seen, moment = seen_in(sandbox, "stale_scores")
    lost = seen._replace(**{name: Fact(name, (), "", moment.at, gaps=(Gap(name, "no answer"),))})
    stub = Stub(moment)
    found = p1.page(stub, type("S", (), lost._asdict()))  # type: ignore[arg-type]
    assert any("no answer" in text for text in found.causes.blind)
    assert stub.judged["causes"].worst >= Verdict.unknown


def test_severity_deadline_and_steps(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "stale_scores")
    began = moment.at - timedelta(minutes=30)
    stub = Stub(moment, detected_at=f"{began:%FT%T}+00:00", incident="INC-7", world="stale_scores")
    found = p1.page(stub, type("S", (), seen._asdict()))  # type: ignore[arg-type]
    assert found.severity == "P2"
    assert found.answer_by.astimezone(UTC) == began + timedelta(hours=1)
    first, *_ = found.steps
    assert first["command"] == (
        "runbook run deploy --env sandbox --world stale_scores -p function=account-scoring -p memory=2Gi -p source="
    )
    assert found.steps[1]["command"].endswith("-p function=account-scoring -p incident=INC-7")
    assert [p["role"] for p in found.people] == ["on-call", "team-lead"]


@pytest.mark.parametrize(("world", "hours"), [("p1_memory_limit", 6), ("p1_stuck_etl", 9), ("p1_unknown", 13)])
def test_the_timeline_reaches_back_to_the_first_symptom(sandbox: Callable[..., Any], world: str, hours: int) -> None:
    seen, moment = seen_in(sandbox, world)
    causes = diagnose(seen, p1.patterns(), settings.load("sandbox"), moment)
    shown = charts.timeline(Stub(moment), seen.logs, seen.runs, seen.changes, causes)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["image/png"].startswith(b"\x89PNG")
    title, _, _, *lines = shown["text/plain"].splitlines()
    assert title == f"What happened in the last {hours} hours"
    (symptom,) = (line for line in lines if line.endswith("  first symptom"))
    assert symptom.startswith(f"{causes[0].since:%Y-%m-%d %H:%M}")
    assert [line[:16] for line in lines] == sorted(line[:16] for line in lines)


@pytest.mark.parametrize("hours", [6, 24])
def test_the_names_of_changes_cover_no_other(hours: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 2.9), dpi=100)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.07, right=0.985)
    names = (
        "UpdateFunction gmail-sync",
        "DisableSecretVersion salesforce-client-secret/versions/12",
        "SetIamPolicy acme",
    )
    charts._mark(axes, [(-hours * n / 60, names[n % 3]) for n in range(60, -1, -1)], hours, top=3)
    axes.set_xlim(-hours, 0)
    axes.set_ylim(0, 4.8)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) > 8
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert all(box.x1 <= axes.get_window_extent(renderer).x1 + 1 for box in boxes)


# Real texts → their cause (the phrases of Google, Salesforce and HubSpot).
TEXTS = {
    "Memory limit of 512 MiB exceeded with 517 MiB used.": "memory_limit",
    "Container terminated on signal 9": "memory_limit",
    "terminated because it has reached the maximum request timeout": "timeout",
    "The request was aborted because there was no available instance.": "capacity",
    "Secret Version [projects/1/secrets/x/versions/3] is in DISABLED state.": "secret",
    "INVALID_SESSION_ID: Session expired or invalid": "auth_error",
    "invalid_grant: Token has been expired or revoked.": "auth_error",
    "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.": "quota",
    "Quota exceeded for quota metric 'Queries'": "quota",
    "The request was not authenticated. Either allow unauthenticated invocations": "permission",
    "Unrecognized name: industry at [1:8]": "bad_data",
    "503 Service Unavailable": "dependency_outage",
    "KeyError: 'internalDate'": "crash_after_deploy",
    "The request failed because either the HTTP response was malformed or connection to the instance had an error": (
        "crash_after_deploy"
    ),
}


@pytest.mark.parametrize(("text", "cause"), TEXTS.items())
def test_phrases(text: str, cause: str) -> None:
    assert next(p.cause for p in p1.patterns() if p.says.search(text)) == cause


def test_the_patterns_of_a_team_are_one_file() -> None:
    lines = (Path(p1.__file__).parent / "patterns.yaml").read_text()
    assert len(re.findall(r"(?m)^- \{cause:", lines)) == len(p1.patterns())


def test_now_is_the_clouds(sandbox: Callable[..., Any]) -> None:
    _, moment = sandbox("healthy")
    assert moment.at == datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
