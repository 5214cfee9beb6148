"""`runbook ack`: a finding that is known warns at most until its end, and is never hidden."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.runbook.changes import Place

KNOWN = ("data freshness", "calendar_events")
REASON = "the vendor moves its data until Friday"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records", world="p1_paused_scheduler")


def ack(place: Place, *of: str, until: str = "2026-03-13T09:00", **more: str) -> Any:
    words = [word for name, value in {"as": "blake", **more}.items() for word in (f"--{name}", value)]
    return place.cli("ack", *(of or KNOWN), "--until", until, "--reason", REASON, "--yes", *words)


def day(place: Place) -> Any:
    ran = place.run("daily_check", show=True)
    assert ran.error is None
    return ran


def verdict(ran: Any) -> str:
    return ran.names["run"].close().verdict.name


def test_an_alert_that_is_known_warns_until_its_end_and_stays_in_the_verdict(place: Place) -> None:
    assert verdict(day(place)) == "alert"
    for finding in (KNOWN, ("function now", "calendar-sync")):
        said = ack(place, *finding)
        assert said.exit_code == 0, said.output
    ran = day(place)
    report = ran.names["run"].close()
    assert (report.verdict.name, int(report.exit)) == ("warn", 0)
    [found] = [f for f in report.findings if (f.check, f.subject) == KNOWN]
    assert f"known to blake until 2026-03-13T14:00:00Z: {REASON}" in found.value
    assert REASON in ran.shown
    place.app.sandbox.now += timedelta(days=3)
    assert verdict(day(place)) == "alert"


def test_a_finding_that_does_not_exist_is_said_to_be_unknown(place: Place) -> None:
    assert "Warning" not in ack(place).output  # there is no daily check yet
    ran = day(place)
    place.record(ran)
    assert "Warning" not in ack(place).output
    said = ack(place, "data freshnes", "calendar_events")
    assert (said.exit_code, "has no finding “data freshnes, calendar_events”" in said.output) == (0, True)
    assert ran.folder.name in said.output


def test_an_end_that_is_over_is_refused(place: Place) -> None:
    said = ack(place, until="2026-03-11T08:00")
    assert (said.exit_code, "--until 2026-03-11T08:00" in said.output) == (5, True)
    assert "the cloud's clock says 2026-03-11T13:30:00Z" in said.output


def test_another_finding_still_alerts(place: Place) -> None:
    assert ack(place, "data freshness", "gmail_messages").exit_code == 0
    assert verdict(day(place)) == "alert"


def test_what_could_not_be_read_stays_unknown(place: Place) -> None:
    from runbook.approvals.signed import Ack
    from runbook.model.findings import Finding, Findings, Verdict, known_findings

    one = Ack.model_construct(check="a", subject="b", person="blake", until="later", reason="why")
    for before, after in (
        (Verdict.ok, "ok"),
        (Verdict.warn, "warn"),
        (Verdict.alert, "warn"),
        (Verdict.unknown, "unknown"),
    ):
        found = known_findings(Findings((Finding("a", "b", "x", "y", before),)), [one])
        assert found[0].verdict.name == after
        assert ("known to blake" in found[0].value) == (before in (Verdict.warn, Verdict.alert))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ({"until": "2026-05-01"}, 5, "at most 31 days"),
        ({"until": "2026-03-10"}, 5, "at most 31 days"),
        ({"until": "soon"}, 2, "soon"),
        ({"role": "manager"}, 5, "does not have the role"),
        ({"as": "casey"}, 5, "casey did not sign"),
    ],
)
def test_what_is_not_signed(place: Place, words: dict[str, str], code: int, said: str) -> None:
    done = ack(place, **words)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert place.store.list("acks") == []


def test_only_a_signed_one_counts(place: Place) -> None:
    assert ack(place).exit_code == 0
    [path] = (place.folder / "acks").iterdir()
    forged = path.read_text().replace("calendar_events", "gmail_messages")
    for name, content in (("0" * 32, forged), ("1" * 32, path.read_text()), ("2" * 32, "{}")):
        (path.parent / name).write_text(content)
    path.unlink()
    ran = day(place)
    assert verdict(ran) == "alert"
    assert ran.shown.count("Ignored: acks/") == 2 * 3  # as text and as HTML
