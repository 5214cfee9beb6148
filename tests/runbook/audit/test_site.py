"""The site, in a real browser: what it shows, by keyboard, on a phone, in the dark, and that nothing of a record runs."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from runbook.approvals.signers import demo_folder
from runbook.audit.index import read_run, row_of
from runbook.audit.pages import TEMPLATES, record_page
from runbook.audit.site import site
from runbook.audit.verify import attest
from runbook.config.load import load_settings
from runbook.records.record import records_directory, store_of
from tests.chromium import Page, chromium, needed
from tests.runbook.audit.made import NOW, WRONG, made, many, rewritten
from tests.runbook.changes import Place
from tests.slices import every

BAD = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><style>*{display:none}</style>"
HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())
OWN = {*re.findall(r"\.([a-z][\w-]*)", (TEMPLATES / "site.css").read_text())}  # classes, of the page and of cells
COVER = '<div style="position:fixed;top:0;left:0;width:100%;height:100%;background:#fff">OK: all checks passed</div>'


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of 14 records, one of them with everything that somebody may put into a record, and one changed."""
    here = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(here / "records"))
        place = Place(here / "records", world="no_etl")
        place.open("INC-7")
        many(10, days=30)
        made(NOW - timedelta(hours=3), "p1_response", ("cause",), incident="INC-7")
        made(NOW - timedelta(hours=2), wrong=("errors",), text=BAD + COVER)
        rewritten(place.store, made(NOW - timedelta(minutes=90)))
        made(NOW - timedelta(minutes=50), status="kernel_died")
        with place.here():
            assert site([load_settings("sandbox")], here / "out") == (14, 14)
    return here / "out"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as one:
        yield one


def record(out: Path, words: str) -> str:
    """The address of the newest record page with these words."""
    pages = sorted((out / "records").glob("*.html"), reverse=True)
    return next(path for path in pages if words in path.read_text(encoding="utf-8")).as_uri()


@needed
def test_the_index_shows_what_needs_a_person(out: Path, page: Page) -> None:
    page.width(1280)
    page.go((out / "index.html").as_uri())
    said = page.js("document.body.innerText")
    for words in (
        "Newest daily check: none,",
        "2 incidents open, 1 record not verified, 1 awaiting review",
        "Verified: 13 of 14 records against their own digests",
        "1 record does not verify.",
        "Signed manifest: none",
        "open incident",
        "INC-7",
        "awaits review",
        "everything is down",
        "does not verify",
        "missing",
        "memory limit",
    ):
        assert words in said, words
    assert page.js("ROWS.map((row) => row.verdict == 'unverified' ? row.checks.length : 0)") == [0] * 14
    assert page.js("document.querySelectorAll('.c-missing').length") > 1  # the legend has one
    assert page.js("[...document.querySelectorAll('svg[role=img]')].every((one) => one.getAttribute('aria-label'))")
    assert page.js("document.querySelectorAll('a.row').length") == 14
    assert page.complaints == []
    assert [address for address in page.asked if not address.startswith(out.as_uri())] == []


@needed
@pytest.mark.parametrize(
    ("view", "count"),
    every(
        4,
        [
            ("q=memory", 1),
            ("q=inc-7", 1),
            ("verdict=unverified", 1),
            ("verdict=none", 1),
            ("q=pwned", 1),
            ("q=nothing+like+it", 0),
            ("q=access", 0),  # a check that was ok everywhere
            ("runbook=no_such_runbook", 0),
        ],
    ),
)
def test_a_view_is_an_address(out: Path, page: Page, view: str, count: int) -> None:
    page.go("about:blank")
    page.go(f"{(out / 'index.html').as_uri()}#{view}")
    found = page.js("document.querySelectorAll('a.row').length")
    assert found >= 1 if view == "q=memory" else found == count
    assert page.js("document.getElementById('overview').classList.contains('hide')")
    name = view.split("=")[0]
    assert page.js(f"document.getElementById({name!r}).value") == view.split("=")[1].replace("+", " ")
    if not found:
        page.js("document.querySelector('#rows button').click()")
        assert page.js("document.querySelectorAll('a.row').length") == 14


@needed
def test_by_keyboard(out: Path, page: Page) -> None:
    page.go("about:blank")
    page.go((out / "index.html").as_uri())
    for key in "/inc-7":
        page.press(key)
    assert page.js("document.getElementById('q').value") == "inc-7"
    assert page.js("location.hash") == "#q=inc-7"
    page.js("document.activeElement.blur()")
    page.press("j")
    assert page.js("document.activeElement.className") == "row"
    page.events.clear()
    page.press("Enter")
    page.loaded()
    assert "p1_response" in page.js("location.href")
    page.events.clear()
    page.press("u")
    page.loaded()
    assert page.js("location.hash") == "#q=inc-7"
    assert page.js("document.querySelectorAll('a.row').length") == 1


@needed
def test_a_calendar_is_one_tab_stop(out: Path, page: Page) -> None:
    page.go("about:blank")
    page.go((out / "index.html").as_uri())
    stops = "[...document.querySelectorAll('.cal')].map((one) => one.querySelectorAll('[tabindex=\"0\"]').length)"
    assert page.js(stops) == [1, 1]
    page.js("document.querySelector('.cal [tabindex=\"0\"]').focus()")
    days = [page.js("document.activeElement.getAttribute('aria-label')")]
    for key in ("ArrowLeft", "ArrowRight"):
        page.press(key)
        days.append(page.js("document.activeElement.getAttribute('aria-label')"))
    assert days[0] == days[2] != days[1]
    assert days[2] in page.js("document.getElementById('calendar').innerText")
    assert page.js(stops) == [1, 1]
    page.js("document.getElementById('skip').click()")
    assert page.js("document.activeElement.className") == "row"


@needed
def test_a_record_has_its_answer_first_and_links(out: Path, page: Page) -> None:
    page.width(390)
    page.go(record(out, "alert: errors, last 24 h"))
    tops = page.js(
        "['#answer','#findings','#cells'].map((one) => document.querySelector(one).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    assert tops[0] < 120
    assert page.js("document.documentElement.scrollWidth") <= 390
    images = page.js(
        "[...document.querySelectorAll('.cells .output_png img')].map((one) => [one.alt.length > 40, one.offsetWidth])"
    )
    assert len(images) >= 4
    assert all(told and wide > 500 for told, wide in images)  # legible: a chart scrolls inside its own frame
    assert page.js("getComputedStyle(document.querySelector('.cells .input')).display") == "none"
    page.js("document.getElementById('code').click()")
    assert page.js("getComputedStyle(document.querySelector('.cells .input')).display") == "block"
    assert page.js("document.querySelectorAll('.cells [id^=\"cell-id=\"]').length") > 20  # a permalink for each cell
    assert page.js("document.querySelector('a.here').checkVisibility({visibilityProperty: true})")
    assert (
        page.js("getComputedStyle(document.querySelector('td[data-l=expected]'), '::before').content") == '"expected: "'
    )
    page.js("dispatchEvent(new Event('beforeprint'))")
    assert page.js("document.querySelector('details.how').open")
    page.js("dispatchEvent(new Event('afterprint'))")
    anchor = page.js("document.querySelector('a.here').getAttribute('href')")
    assert page.js(f"document.getElementById(decodeURIComponent({anchor!r}.slice(1))).tagName") == "TR"
    assert page.js("document.getElementById('before').href").endswith(".html")
    assert page.js("document.getElementById('after').href").endswith(".html")


@needed
def test_nothing_of_a_record_runs_or_covers_the_page(out: Path, page: Page) -> None:
    page.width(1280)
    page.complaints.clear()
    page.go(record(out, "&lt;script&gt;"))
    assert "pwned" not in page.js("document.title")
    assert page.js("document.querySelectorAll('.cells script, .cells style, .cells form, .cells iframe').length") == 0
    assert (
        page.js(
            "[...document.querySelectorAll('.cells *')].filter((one) => getComputedStyle(one).position == 'fixed').length"
        )
        == 0
    )
    assert "ALERT" in page.js("document.querySelector('#answer').innerText")
    assert page.js("document.querySelector('#answer').offsetHeight") > 20
    # The policy holds, too, for a handler that no sanitizer saw; our own listener waits until the picture has failed.
    page.js(
        "new Promise((go) => { document.addEventListener('error', go, true); "
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">') })"
    )
    assert page.js("document.title") != "1"


@needed
@pytest.mark.parametrize("how", every(3, HOSTILE["covers"]))
def test_no_cell_covers_what_the_page_says_about_its_record(tmp_path: Path, page: Page, how: str) -> None:
    """Whatever a person sees above the cells is of the page: also that the record does not verify."""
    assert {"answer", "controls", "skip"} <= OWN
    text = "".join(HOSTILE["covers"][how].replace("{class}", one) for one in (sorted(OWN) if how == "class" else [""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        store = Place(tmp_path / "records").store
        rewritten(store, name := made(NOW, text=text))
        run = read_run(store, name)
        (tmp_path / "page.html").write_text(record_page(run, row_of(run, load_settings("sandbox"))))
    page.width(1280)
    page.go((tmp_path / "page.html").as_uri())
    seen = page.js("""[...document.querySelectorAll('.answer h1, .answer p, .facts dd, h2')].filter((one) =>
        !one.closest('.cells, details')).map((one) => { one.scrollIntoView({block: 'center', behavior: 'instant'});
        const at = one.getBoundingClientRect(), top = document.elementFromPoint(at.left + 9, at.top + at.height / 2);
        return [one.innerText, one.contains(top)] })""")
    assert "This record does not verify: do not rely on it" in [words for words, _ in seen]
    assert [words for words, shown in seen if not shown] == []


@needed
def test_no_id_in_a_cell_is_one_of_the_page(tmp_path: Path, page: Page) -> None:
    """The page's script looks for ids, and its style for a box to show the code."""
    ids = {"before", "after", "up", "code", "answer", "cells", "findings"}
    text = "".join(f'<a id="{one}" href="https://evil.example/">x</a>' for one in sorted(ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        run = read_run(Place(tmp_path / "records").store, made(NOW, text=text))
        (tmp_path / "page.html").write_text(record_page(run, row_of(run, load_settings("sandbox"))))
    page.go((tmp_path / "page.html").as_uri())
    assert "https://evil.example/" in page.js("[...document.querySelectorAll('.cells a')].map((one) => one.href)")
    found = page.js("[...document.querySelectorAll('.cells [id]')].map((one) => one.id)")
    assert [one for one in found if not one.startswith("cell-")] == ["code"]  # the page's own box
    for key in ("ArrowLeft", "ArrowRight", "u"):
        page.press(key)
    assert page.js("location.href") == (tmp_path / "page.html").as_uri()


@needed
@pytest.mark.parametrize("name", ["index.html", "incidents/sandbox.INC-7.html"])
def test_on_a_phone_in_the_dark_and_on_paper(out: Path, page: Page, name: str) -> None:
    page.width(390)
    page.go((out / name).as_uri())
    assert page.js("document.documentElement.scrollWidth") <= 390
    colours = []
    for scheme in ("light", "dark"):
        page.media(prefers_color_scheme=scheme)
        colours.append(page.js("['backgroundColor', 'color'].map((one) => getComputedStyle(document.body)[one])"))
    assert colours[0] == colours[1][::-1] or colours[0] != colours[1]
    dark = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours[1]]
    assert dark[0] < 150 < 500 < dark[1]
    page.media("print")
    assert page.js(
        "[...document.querySelectorAll('.controls')].every((one) => getComputedStyle(one).display == 'none')"
    )
    page.media()


@needed
def test_runs_are_counted_and_what_did_not_run_is_shown(tmp_path: Path, page: Page) -> None:
    """Two runs with an error each, the last of them three days ago, and an environment without any record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        for days in (3, 4):
            made(NOW - timedelta(days=days), wrong=("errors",))
        system = load_settings("sandbox")
        site([system, system.model_copy(update={"environment": "prod-eu"})], tmp_path / "out")
    index = tmp_path / "out" / "index.html"
    page.go(index.as_uri())
    about, needs = (
        page.js("document.getElementById('about').innerText"),
        page.js("document.getElementById('attention').innerText"),
    )
    assert "2 records of sandbox" in about
    assert "0 records of prod-eu" in about
    assert "Run times: UTC. Days: America/Chicago. Dates inside records of sandbox are practice dates." in about
    assert f"no record at all in {tmp_path}/records/google/prod-eu, target google" in needs
    rows = page.js("[...document.querySelectorAll('#notok tbody tr')].map((one) => one.innerText)")
    said = [" ".join(row.split()) for row in rows]
    assert [row for row in said if "errors last 24 h 30 2\u00d7" in row], said
    assert [row for row in said if "to now (72 h; 2 whole days) 2 days" in row and row.endswith("sandbox")], said
    assert [row for row in said if "run daily_check no record at all" in row and row.endswith("prod-eu")], said


@needed
def test_two_environments_may_have_records_and_incidents_of_one_name(tmp_path: Path, page: Page) -> None:
    """Who may write into the store of staging hides nothing of production; each has an INC-7 and a record of one name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        at, system = NOW - timedelta(hours=3), load_settings("sandbox")
        made(at - timedelta(days=1), incident="INC-7")
        bad = made(at, wrong=("errors",), incident="INC-7")
        (tmp_path / "records/google").mkdir()
        (tmp_path / "records/rehearsal/sandbox").rename(tmp_path / "records/google/prod-eu")
        assert made(at, incident="INC-7") == bad
        systems = [system.model_copy(update={"environment": "prod-eu"}), system]
        for _ in range(2):
            site(systems, tmp_path / "out")
        assert len(json.loads((tmp_path / "out/records.json").read_bytes())) == 3 + 2
        store_of(system).create("notes/inc-7/20260311t133000-00000000", b"{}")
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("out/incidents/*")}
        site(systems, tmp_path / "out")
        assert [path.name for path, time in before.items() if path.stat().st_mtime_ns != time] == ["sandbox.INC-7.html"]
    index = tmp_path / "out" / "index.html"
    page.go(index.as_uri())
    assert "1 incident open" in page.js("document.getElementById('now').innerText")
    rows = page.js("ROWS.map((row) => [row.environment, row.verdict])")
    assert sorted(map(tuple, rows)) == [("prod-eu", "alert"), ("prod-eu", "ok"), ("sandbox", "ok")]
    pages = [index]
    while pages:
        page.go("about:blank")
        page.go((here := pages.pop()).as_uri())
        links = page.js(
            "[...document.querySelectorAll('a[href]')].map((one) => one.getAttribute('href').split('#')[0])"
        )
        found = {(here.parent / link).resolve() for link in links if link}
        assert [path for path in found if not path.is_file()] == []
        if here == index:
            pages, open_now = [*found], "[...document.querySelectorAll('#attention a')].map((one) => one.href)"
            page.go(here.as_uri())
            assert [one for one in page.js(open_now) if one.endswith("/incidents/prod-eu.INC-7.html")]
    text = (tmp_path / "out/incidents/prod-eu.INC-7.html").read_text(encoding="utf-8")
    assert "Not recovered in these records." in text
    assert "2 records of INC-7" in text


@needed
def test_a_record_of_a_time_to_come_hides_no_other(tmp_path: Path, page: Page) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        made(NOW - timedelta(hours=3), wrong=("errors",), incident="INC-7")
        made(NOW + timedelta(days=20), incident="INC-7")
        site([load_settings("sandbox")], tmp_path / "out")
    page.go((tmp_path / "out" / "index.html").as_uri())
    said = page.js("document.getElementById('now').innerText")
    assert said.startswith("Newest daily check: alert, 3 h ago. 1 incident open, 1 record of a time to come")
    assert "a clock was wrong" in page.js("document.getElementById('attention').innerText")


@needed
def test_a_line_is_of_one_subject_in_one_unit_with_its_limit(tmp_path: Path, page: Page) -> None:
    """Five days with five, five, one, five and four runs; once there were errors, and one table was old.

    Once the number of errors has a unit: it is no point of the line.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        patch.setattr("runbook.audit.site.record_page", lambda *_: "")
        noon = (NOW - timedelta(days=6)).replace(hour=18, minute=0, second=0)
        for day, runs in enumerate((5, 5, 1, 5, 4)):
            for hour in range(runs):
                wrong = ("errors", "data freshness", "function now") if (day, hour) == (2, 0) else ()
                made(noon + timedelta(days=day, hours=hour), wrong=wrong)
        patch.setitem(WRONG, "errors", ("last 24 h", "alert", "900 min"))
        made(noon + timedelta(days=4, minutes=150), wrong=("errors",))
        site([load_settings("sandbox")], tmp_path / "out")
    page.width(1280)
    page.go((tmp_path / "out" / "index.html").as_uri())
    rows = page.js("[...document.querySelectorAll('#trends tbody tr')].map((one) => one.innerText)")
    said = {
        name: " ".join(row.split())
        for row in rows
        for name in ("errors", "data freshness", "function now")
        if name in row
    }
    assert "last 24 h: newest 2, 2 to 30; limit: ok below 5, alert above 20" in said["errors"]
    assert "gmail_messages: newest 0.5, 0.5 to 20.5 h; limit: at most 6 h 4 unchanged" in said["data freshness"]
    assert "all functions: 13 of 13 each time" in said["function now"]
    counts = {name: re.findall(r"(\d+ of 21) runs", row) for name, row in said.items()}
    assert counts == {"errors": ["2 of 21"], "data freshness": ["1 of 21"], "function now": ["1 of 21"]}
    listed = page.js("[...document.querySelectorAll('a.row .what')].map((one) => one.innerText)")
    assert [one for one in listed if "(+2 more)" in one] == [one for one in listed if "failed" in one or "30" in one]
    days = page.js(
        "[...document.querySelectorAll('.cal a')].map((one) => [one.ariaLabel, one.querySelector('rect').getAttribute('width')])"
    )
    assert [label.split(": ")[1] for label, wide in days if float(wide) < 10] == ["1 run, usually 5, worst alert"]


@pytest.mark.parametrize("how", ["gone", "replaced"])
def test_the_site_says_what_a_signed_manifest_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    system, index = load_settings("sandbox"), tmp_path / "out" / "index.html"
    one, two = made(NOW - timedelta(days=1)), made(NOW - timedelta(hours=3))
    attest(system, "blake", demo_folder(system) / "blake")
    site([system], tmp_path / "out")
    text = (tmp_path / "out" / "records" / f"sandbox.{one}.html").read_text(encoding="utf-8")
    assert "against its own digests" in text
    assert "Signed manifest 1 lists it." in text
    assert '"listed":2' in index.read_text(encoding="utf-8")
    assert '"lost":[]' in index.read_text(encoding="utf-8")
    runs = records_directory(system) / "runs"
    shutil.rmtree(runs / one)
    if how == "replaced":  # by one of the same name that verifies
        assert made(NOW - timedelta(days=1), status="kernel_died") == one
    site([system], tmp_path / "out", again=True)
    assert f'"lost":["{one}"]' in index.read_text(encoding="utf-8")
    assert two not in index.read_text(encoding="utf-8").split('"lost":')[1].split("]")[0]


def test_only_new_records_are_made(out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(out.parent / "records"))
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.html")}
        last = max(path for path in before if "daily_check" in path.name)
        name = made(NOW + timedelta(minutes=1))
        new, known = site([load_settings("sandbox")], out)
    assert (new, known) == (1, 15)
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {last.name, "index.html"}
    assert f'href="sandbox.{name}.html"' in last.read_text(encoding="utf-8")
    assert f"sandbox.{name}" in json.loads((out / "records.json").read_bytes())


def test_a_run_without_an_end_is_read_again_and_keeps_its_link_and_a_failed_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    system = load_settings("sandbox")
    going, failed, last = (
        made(NOW - timedelta(hours=3)),
        made(NOW - timedelta(hours=2), status="kernel_died"),
        made(NOW - timedelta(hours=1)),
    )
    path = records_directory(system) / "runs" / going / "record.json"
    path.write_text(json.dumps({"status": "running", "runbook": "daily_check"}))
    for new in (3, 1):
        assert site([system], tmp_path / "out") == (new, 3)
        pages = {
            name: (tmp_path / "out" / "records" / f"sandbox.{name}.html").read_text() for name in (going, failed, last)
        }
        assert f'id="after" href="sandbox.{failed}.html"' in pages[going]
        assert f'id="after" href="sandbox.{last}.html"' in pages[failed]
        assert 'id="after"' not in pages[last]


def test_the_page_of_an_incident_tells_its_story(out: Path) -> None:
    text = (out / "incidents" / "sandbox.INC-7.html").read_text(encoding="utf-8")
    assert "memory limit (sure): account-scoring" in text
    assert "Not recovered in these records." in text
    assert "../records/" in text


@pytest.mark.full
@needed
def test_the_index_of_5000_records(tmp_path: Path, page: Page, record_property: Any) -> None:
    """Of 4,998 records that are known and two that are new: at most 10 seconds, and 0.3 seconds of CPU for the two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
        system, out = load_settings("sandbox"), tmp_path / "out"
        first = made(NOW - timedelta(days=300))
        site([system], out)
        known = json.loads((out / "records.json").read_bytes())
        for number in range(4997):
            at = NOW - timedelta(days=299) + timedelta(hours=number)
            name = f"{at:%Y%m%dT%H%M%SZ}-daily_check-{number:08x}"
            (tmp_path / "records/rehearsal/sandbox/runs" / name).mkdir()
            known[f"sandbox.{name}"] = known[f"sandbox.{first}"] | {"id": name, "at": f"{at:%FT%TZ}", "day": f"{at:%F}"}
        (out / "records.json").write_text(json.dumps(known))
        made(NOW), made(NOW + timedelta(seconds=1))
        began, cpu = time.perf_counter(), time.process_time()
        assert site([system], out) == (2, 5000)
        spent, took = time.process_time() - cpu, time.perf_counter() - began
    page.go((out / "index.html").as_uri())
    shown = page.js("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000
    size = (out / "index.html").stat().st_size / 1e6
    record_property(
        "summary", f"5,000 records: {took:.1f} s, {spent:.1f} of CPU; index {size:.1f} MB, drawn in {shown:.1f} s"
    )
    assert spent < 10
    assert page.js("document.getElementById('count').textContent") == "100 of 5000 records shown, the newest first"
    page.js(
        "document.getElementById('q').value = 'no such thing'; document.getElementById('q').dispatchEvent(new Event('input'))"
    )
    assert page.js("document.getElementById('count').textContent") == "0 of 5000 records"
