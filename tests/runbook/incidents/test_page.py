"""The P1 page: causes in the shipped worlds, severities, next steps, and that it comes whatever cannot be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from runbook import charts, facts, incidents
from runbook.charts.incident import PHONE, _mark
from runbook.cloud.client import Cloud
from runbook.config.load import load_settings
from runbook.config.request import Request
from runbook.config.schema import WebApp
from runbook.facts.base import observe
from runbook.incidents.affected import Evidence
from runbook.incidents.diagnosis import diagnose
from runbook.incidents.page import Page
from runbook.model.facts import Fact, Gap
from runbook.model.findings import Verdict
from runbook.model.moment import Moment
from runbook.model.rows import AuditedChange
from tests.runbook.changes import Place

ASKS = {
    "functions": facts.functions(),
    "runs": facts.recent_runs(hours=48),
    "logs": facts.errors(hours=24, severity="WARNING"),
    "changes": facts.changes(hours=48),
    "secrets": facts.secrets(),
    "jobs": facts.jobs(),
    "feeds": facts.feeds(),
    "freshness": facts.freshness(),
    "scores": facts.scores(),
    "quotas": facts.quotas(),
}
# World → the causes that must be found, with the functions that they make sick.
NO_INCIDENT: dict[str, dict[str, set[str]]] = {
    "healthy": {},
    "many_errors": {"auth_error": {"gmail-sync"}},
    "stale_scores": {"memory_limit": {"account-scoring"}},
    "no_backup": {},
    "pinned_traffic": {},
    "old_secret": {},
    "outside_window": {},
}


# No record says when the incident was noticed.
NOT_KNOWN = {"noticed": Fact("noticed", (), "", datetime(2026, 3, 11, tzinfo=UTC))}


class Stub:
    """As much of a run as the page needs."""

    def __init__(self, moment: Moment, **values: str):
        self.settings, self.moment = load_settings("sandbox"), moment
        self.request = Request("p1_response", {"environment": "sandbox", "world": "", "incident": "", **values})
        self.judged: dict[str, Any] = {}

    def judge(self, name: str, found: Any, *_: Any, again: Any = None) -> None:
        self.judged[name], self.again = found, again


def seen_in(make: Callable[..., Any], world: str) -> tuple[Evidence, Moment]:
    cloud, moment = make(world)
    return Evidence(**{name: observe(ask, cloud, moment) for name, ask in ASKS.items()}), moment


@pytest.mark.parametrize("world", NO_INCIDENT)
def test_causes_of_a_world(sandbox: Callable[..., Any], world: str) -> None:
    seen, moment = seen_in(sandbox, world)
    found = diagnose(seen, load_settings("sandbox"), moment)
    assert {c.cause: set(c.functions) for c in found} == NO_INCIDENT[world], found.rows
    assert all(c.evidence and c.since for c in found)


def test_what_did_not_start_for_no_known_reason_is_one_unknown(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "quiet_morning")
    (found,) = diagnose(seen, load_settings("sandbox"), moment)
    assert (found.cause, found.confidence) == ("unknown", "unknown")
    assert len(found.functions) > 3
    assert all("not started" in e or "no known code" in e for e in found.evidence)


@pytest.mark.parametrize("more", [True, False])
def test_what_the_newest_thousand_runs_do_not_show_is_not_told_as_missing(
    sandbox: Callable[..., Any], more: bool
) -> None:
    seen, moment = seen_in(sandbox, "healthy")
    newest = tuple(r for r in seen.runs.rows if r.function == "gmail-sync")
    seen = seen._replace(runs=replace(seen.runs, rows=newest, more=more))
    found = diagnose(seen, load_settings("sandbox"), moment)
    assert bool(found.failing) is not more
    assert any(gap.subject == "older runs" for gap in found.unknowns) is more


def test_the_cap_of_runs_is_noticed(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    many = tmp_path / "many.yaml"
    many.write_text("about: Many runs.\nnow: 2026-03-11T13:30:00Z\nbulk: {runs: 20000}\n")
    runs = [
        observe(facts.recent_runs(hours), *sandbox(world)) for hours, world in ((10_000, str(many)), (48, "healthy"))
    ]
    assert [(len(r.rows) == 1000, r.more) for r in runs] == [(True, True), (False, False)]


def page(seen: Evidence, moment: Moment, **values: str) -> Page:
    return incidents.page(Stub(moment, **values), type("S", (), seen._asdict() | NOT_KNOWN))  # type: ignore[arg-type]


def test_a_function_that_is_gone_and_one_that_did_not_deploy(sandbox: Callable[..., Any]) -> None:
    found = page(*seen_in(sandbox, "missing_function"))
    said = {c.cause: (c.functions, c.confidence, " ".join(c.evidence)) for c in found.causes}
    functions, confidence, evidence = said["missing_function"]
    assert (functions, confidence) == (("hubspot-contacts-sync",), "sure")
    assert "does not exist" in evidence
    functions, confidence, evidence = said["failed_deployment"]
    assert (functions, confidence) == (("account-scoring",), "sure")
    assert "Container Healthcheck failed" in evidence


def test_what_the_scheduler_may_not_call_is_one_cause(sandbox: Callable[..., Any]) -> None:
    found = page(*seen_in(sandbox, "no_etl"))
    [cause] = found.causes
    assert (cause.cause, cause.confidence, len(cause.functions)) == ("permission", "sure", 13)
    assert "failed, code 7" in " ".join(cause.evidence)


def test_a_failure_is_counted_once(sandbox: Callable[..., Any]) -> None:
    [cause] = page(*seen_in(sandbox, "p1_secret_disabled")).causes
    assert "similar lines" not in " ".join(cause.evidence)
    [cause, *_] = page(*seen_in(sandbox, "p1_permission_changed")).causes
    [failed] = re.findall(r"failed runs: (\d+)", cause.evidence[0])
    assert re.findall(r"\((\d+) similar lines\)", cause.evidence[1]) == [failed]


def test_what_was_changed_after_it_last_ran_is_run_again_first(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_crash_after_deploy")
    before = page(seen, moment)
    assert [s.command.split()[2] for s in before.steps] == ["rollback"]
    back = AuditedChange(moment.at - timedelta(minutes=1), "ann", "Services.UpdateService", "services/gmail-sync")
    changes = (back, *seen.changes.rows)
    after = page(seen._replace(changes=replace(seen.changes, rows=changes)), moment)
    assert after.causes[0].changed_since_last_run
    assert "changed after its last run: Services.UpdateService of gmail-sync by ann" in after.causes[0].evidence[-1]
    assert [s.command.split()[2] for s in after.steps] == ["retry"]
    other = (replace(back, resource="services/calendar-sync"), *seen.changes.rows)
    assert not page(seen._replace(changes=replace(seen.changes, rows=other)), moment).causes[0].changed_since_last_run


@pytest.mark.parametrize(
    ("world", "severity"),
    [
        ("p1_region_outage", "P1"),
        ("unreachable_region", "unknown"),
        ("no_permission", "P4"),
        ("healthy", "P4"),
        ("missing_function", "P2"),
    ],
)
def test_severities(sandbox: Callable[..., Any], world: str, severity: str) -> None:
    assert page(*seen_in(sandbox, world)).severity == severity


def test_a_failed_deployment_leaves_what_served_before(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    world = tmp_path / "failed.yaml"
    failed = "functions: [{select: {name: account-scoring}, state: FAILED, message: Build failed}]"
    world.write_text(f"like: healthy\nabout: A deployment failed.\n{failed}\n")
    found = page(*seen_in(sandbox, str(world)))
    assert (found.severity, found.why) == ("P4", "every function works; a deployment failed")
    assert [c.cause for c in found.causes] == ["failed_deployment"]
    assert found.findings.worst is Verdict.alert


def test_what_is_broken_is_an_alert_also_when_nobody_knows_why(sandbox: Callable[..., Any]) -> None:
    found = page(*seen_in(sandbox, "p1_unknown"))
    assert {f.verdict for f in found.findings} == {Verdict.alert}
    [step] = found.steps
    assert step.command.startswith("gcloud functions logs read hubspot-companies-sync --gen2 ")


def test_what_could_not_be_seen_has_a_next_step(sandbox: Callable[..., Any]) -> None:
    found = page(*seen_in(sandbox, "no_permission"))
    unread = [f for f in found.findings if f.check == "read"]
    assert unread
    assert all(f.subject and f.next for f in unread)
    assert len(found.steps) == len(unread)


def test_nothing_seen_is_never_nothing_broken(sandbox: Callable[..., Any]) -> None:
    _, moment = sandbox("healthy")
    gap = (Gap("everything", "no answer"),)
    unknowns = Evidence(*(Fact(name, (), "", moment.at, gaps=gap) for name in Evidence._fields))
    found = incidents.page(Stub(moment), type("S", (), unknowns._asdict() | NOT_KNOWN))  # type: ignore[arg-type]
    assert found.findings.worst is Verdict.unknown
    assert "could not be read" in found.why


def test_without_functions_or_runs_the_severity_is_unknown(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "healthy")
    gap = (Gap("functions", "no answer"),)
    found = page(seen._replace(functions=Fact("functions", (), "", moment.at, gaps=gap)), moment)
    assert (found.severity, found.answer_by) == ("unknown", moment.local(moment.at + timedelta(minutes=15)))
    assert found.findings[0].verdict is Verdict.unknown


@pytest.mark.parametrize("name", Evidence._fields)
def test_the_page_comes_when_one_read_fails(sandbox: Callable[..., Any], name: str) -> None:
    seen, moment = seen_in(sandbox, "stale_scores")
    lost = seen._replace(**{name: Fact(name, (), "", moment.at, gaps=(Gap(name, "no answer"),))})
    stub = Stub(moment)
    found = incidents.page(stub, type("S", (), lost._asdict() | NOT_KNOWN))  # type: ignore[arg-type]
    assert any("no answer" in gap.why for gap in found.causes.unknowns)
    assert stub.judged["causes"].worst >= Verdict.unknown


def test_severity_deadline_and_steps(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "stale_scores")
    began = moment.at - timedelta(minutes=30)
    stub = Stub(moment, detected_at=f"{began:%FT%T}+00:00", incident="INC-7", world="stale_scores")
    found = incidents.page(stub, type("S", (), seen._asdict() | NOT_KNOWN))  # type: ignore[arg-type]
    assert found.severity == "P2"
    assert found.answer_by.astimezone(UTC) == began + timedelta(hours=1)
    first, *_ = found.steps
    assert first.command == (
        "runbook run deploy --env sandbox --world stale_scores -p function=account-scoring -p memory=2Gi"
        " -p incident=INC-7"
    )
    assert found.steps[1].command.endswith("-p function=account-scoring -p incident=INC-7")
    assert [p["role"] for p in found.people] == ["on-call", "team-lead"]


def test_the_deadline_of_an_incident_does_not_move(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", "stale_scores")

    def by(**given: str) -> datetime:
        ran = place.run("p1_response", **given)
        place.record(ran)
        place.app.sandbox.now += timedelta(minutes=1)
        return ran.names["page"].answer_by

    began = place.app.sandbox.now + timedelta(hours=1)
    assert by(incident="INC-7") == began
    assert by(incident="INC-7") == began
    assert by(incident="INC-8") == began + timedelta(minutes=2)
    assert by() == began + timedelta(minutes=3)
    earlier = f"{began - timedelta(hours=2):%FT%T}+00:00"
    assert by(incident="INC-7", detected_at=earlier) == by(incident="INC-7") == began - timedelta(hours=1)


def test_a_record_that_does_not_verify_moves_no_deadline(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", "stale_scores")
    place.record(ran := place.run("p1_response", incident="INC-7"))
    place.app.sandbox.now += timedelta(minutes=5)
    report = ran.folder / "report.json"
    report.write_text(report.read_text().replace('"at": "2026-03-11', '"at": "2026-03-10'))
    ran = place.run("p1_response", incident="INC-7")
    assert ran.names["page"].answer_by == place.app.sandbox.now + timedelta(hours=1)


def test_a_time_to_come_is_reported_by_its_name(tmp_path: Path) -> None:
    ran = Place(tmp_path / "records", "stale_scores").run("p1_response", detected_at="2026-03-12T09:00")
    assert str(ran.error).startswith("BadParameter: detected_at=2026-03-12T09:00")


@pytest.mark.parametrize(("world", "hours"), [("p1_memory_limit", 6), ("p1_stuck_etl", 9), ("p1_unknown", 13)])
def test_the_timeline_reaches_back_to_the_first_symptom(sandbox: Callable[..., Any], world: str, hours: int) -> None:
    seen, moment = seen_in(sandbox, world)
    causes = diagnose(seen, load_settings("sandbox"), moment)
    shown = charts.timeline(Stub(moment), seen.logs, seen.runs, seen.changes, causes)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["image/png"].startswith(b"\x89PNG")
    title, head, _, *lines = shown["text/plain"].splitlines()
    assert head.split() == ["from", "entries", "change"]
    assert title == f"What happened in the last {hours} hours"
    (symptom,) = (line for line in lines if line.endswith("  first symptom"))
    assert symptom.startswith(f"{causes[0].since:%Y-%m-%d %H:%M}")
    assert [line[:16] for line in lines] == sorted(line[:16] for line in lines)


@pytest.mark.parametrize("hours", [6, 24])
def test_the_names_of_changes_cover_no_other(hours: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PHONE, 3.4), dpi=120)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.1, right=0.985, top=1 - 0.56 / 3.4, bottom=0.55 / 3.4)
    names = (
        "UpdateFunction gmail-sync",
        "DisableSecretVersion salesforce-client-secret/versions/12",
        "SetIamPolicy acme",
    )
    _mark(axes, [(-hours * n / 60, names[n % 3]) for n in range(60, -1, -1)], hours, top=3)
    axes.set_xlim(-hours, 0)
    axes.set_ylim(0, 5.7)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) > 4
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert all(box.x1 <= axes.get_window_extent(renderer).x1 + 1 for box in boxes)


@pytest.mark.parametrize("world", ["p1_two_causes", "p1_timeout"])
def test_the_charts_can_be_read_on_a_phone(
    sandbox: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, world: str
) -> None:
    """On a screen of 390 pixels a chart is 350 wide: no text of it is smaller than 8 pixels there, or cut off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figures = []
    monkeypatch.setattr(FigureCanvasAgg, "print_png", lambda canvas, file, **_: figures.append(canvas.figure))
    seen, moment = seen_in(sandbox, world)
    found = page(seen, moment)
    charts.timeline(Stub(moment), seen.logs, seen.runs, seen.changes, found.causes)  # type: ignore[arg-type]
    charts.limits(Stub(moment), found, seen.functions, seen.runs, seen.logs)  # type: ignore[arg-type]
    assert len(figures) == 2
    for figure in figures:
        scale = 350 / (figure.get_figwidth() * 72)
        texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
        assert min(t.get_fontsize() * scale for t in texts) >= 8
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer, edge = canvas.get_renderer(), figure.bbox
        boxes = {t.get_text(): t.get_window_extent(renderer) for t in texts}
        assert not [said for said, box in boxes.items() if box.x0 < -1 or box.x1 > edge.x1 + 1 or box.y1 > edge.y1 + 1]
        assert any("limit" in said or "first symptom" in said for said in boxes)


QUOTA = """like: healthy
about: Vertex AI refuses, and Cloud Monitoring may know why.
runs: [{select: {name: embeddings}, since: 3h, kind: quota_seconds}]
quotas: [{metric: aiplatform.googleapis.com/online_requests, limit_name: RequestsPerMinutePerProject, limit: 60, used: 64}]
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "",
            "aiplatform.googleapis.com/online_requests, RequestsPerMinutePerProject (global): 64 used in a minute, the limit is 60, last exceeded 08:30",
        ),
        ("quotas: []", "unknown (Cloud Monitoring lists no exceeded quota)"),
        ("deny: [monitoring.timeSeries.list]", "unknown (403 Permission monitoring.timeSeries.list denied"),
    ],
)
def test_a_quota_has_usage_limit_and_where_to_ask_for_more(
    sandbox: Callable[..., Any], tmp_path: Path, more: str, said: str
) -> None:
    world = tmp_path / "quota.yaml"
    kept = QUOTA if not more.startswith("quotas") else QUOTA.partition("quotas")[0]
    world.write_text(f"{kept}{more}\n")
    found = page(*seen_in(sandbox, str(world)))
    step = found.steps[0]
    assert found.causes[0].cause == "quota"
    assert said in step.do
    assert "https://console.cloud.google.com/iam-admin/quotas?project=acme-sales-sandbox" in step.do
    unread = [gap for gap in found.causes.unknowns if gap.subject == "quotas"]
    assert bool(unread) is more.startswith("deny")
    assert not unread or "roles/monitoring.viewer" in unread[0].next


def test_a_quota_of_a_vendor_is_not_googles(sandbox: Callable[..., Any]) -> None:
    assert not [s for s in page(*seen_in(sandbox, "p1_quota_seconds")).steps if "console.cloud" in s.do]


def test_the_people_are_told_with_how_to_reach_them(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_two_causes")
    stub = Stub(moment)
    reach = {"phone": "+1 555 0100", "channel": "#oncall", "link": "https://pager.example.com/oncall"}
    contact = stub.settings.contacts["on-call"].model_copy(update=reach)
    stub.settings = stub.settings.model_copy(update={"contacts": {**stub.settings.contacts, "on-call": contact}})
    found = incidents.page(stub, type("S", (), seen._asdict() | NOT_KNOWN))  # type: ignore[arg-type]
    assert found.people[0]["how"] == "+1 555 0100, #oncall, https://pager.example.com/oncall"
    assert "On-call rotation (on-call, +1 555 0100, #oncall, https://pager" in stub.answer[-1]


def with_web_app(world: str, **given: Any) -> tuple[Page, Any]:
    """The page of a system with a web app, and what its answer says."""
    system = load_settings("sandbox")
    system = system.model_copy(update={"web_app": WebApp(name="sales-web", **given)})
    cloud = Cloud(system, "sandbox", InProcess(gcp_sandbox.app(system.inventory(), world)))
    moment = Moment(cloud.now()[0], system.zone)
    seen = Evidence(**{name: observe(ask, cloud, moment) for name, ask in ASKS.items()})
    stub = Stub(moment)
    stub.settings = system
    return incidents.page(stub, type("S", (), seen._asdict() | NOT_KNOWN)), stub  # type: ignore[arg-type]


URL = "https://sales.example.com/"


def test_a_web_app_that_works_is_not_mentioned() -> None:
    found, _ = with_web_app("healthy", url=URL, service="gmail-sync", reads=["gmail_messages"])
    assert (list(found.causes), found.severity, found.causes.unknowns) == ([], "P4", ())


@pytest.mark.parametrize(("status", "fails"), [(200, False), (401, False), (404, True), (500, True), (503, True)])
def test_a_web_app_that_fails_is_p2_and_says_what_it_answers(tmp_path: Path, status: int, fails: bool) -> None:
    world = tmp_path / "web.yaml"
    world.write_text(f"like: healthy\nabout: The web app.\nweb_app: {status}\n")
    found, stub = with_web_app(str(world), url=URL)
    assert [c.cause for c in found.causes] == ["web_app"] * fails
    assert found.severity == ("P2" if fails else "P4")
    assert not fails or f"sales-web does not work: its page answers {status}" in stub.answer[0]


def test_a_web_app_that_shows_old_data_is_a_symptom() -> None:
    found, _ = with_web_app("no_etl", reads=["gmail_messages"])
    *_, last = found.causes
    assert (last.cause, last.functions) == ("web_app", ("sales-web",))
    assert "it shows gmail_messages: its newest row is" in last.evidence[0]


def test_a_service_that_is_not_ready_may_still_serve(tmp_path: Path) -> None:
    world = tmp_path / "web.yaml"
    failed = "revisions: [{select: {name: gmail-sync}, age: 40m, failure: The container failed to start}]"
    world.write_text(f"like: healthy\nabout: Its newest revision did not start.\n{failed}\n")
    found, _ = with_web_app(str(world), service="gmail-sync")
    said = {c.cause: c.evidence[0] for c in found.causes}
    assert "its service is not ready: Revision 'gmail-sync-00013-kpl' is not ready" in said["web_app"]
    assert found.severity == "P4"


def test_a_service_that_does_not_exist_is_said() -> None:
    found, _ = with_web_app("healthy", service="no-such-service")
    assert [c.evidence for c in found.causes] == [("its service does not exist",)]


@pytest.mark.parametrize("fault", ["{status: 403}", "{lost: before}"])
def test_what_could_not_be_asked_is_unknown_and_not_down(tmp_path: Path, fault: str) -> None:
    world = tmp_path / "web.yaml"
    route = '"GET run.*|GET sales.*"'
    world.write_text(f"like: healthy\nabout: No answer.\nfaults: [{{route: {route}, {fault[1:]}]\n")
    found, _ = with_web_app(str(world), service="gmail-sync", **({} if "403" in fault else {"url": URL}))
    assert not found.causes
    assert found.causes.unknowns
    assert all("web" in gap.subject or "services/gmail-sync" in gap.subject for gap in found.causes.unknowns)


def test_now_is_the_clouds(sandbox: Callable[..., Any]) -> None:
    _, moment = sandbox("healthy")
    assert moment.at == datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
