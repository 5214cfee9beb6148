"""The post-mortem draft of an incident. It contains only what the store has: the records of its runs, the journals of
their attempts, what was signed for it, and its notes.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from pathlib import Path

from runbook.approvals.signed import Opening, alone, reviews_of, verified
from runbook.approvals.signers import signers_of
from runbook.audit.index import EVER, Run, names_in, plain, read_run, row_of, time_in
from runbook.audit.pages import page
from runbook.cloud.target import target
from runbook.config import Settings, checked_incident
from runbook.data_file import text_of
from runbook.model import Broken, ForeignFile, Row, RunbookError, UnknownName
from runbook.records import Store, json_of, listed, mapping, publish, records_directory, rows_in, store_of, writable
from runbook.records.notes import notes_of
from runbook.records.proof import NO_END

CHECKING = ("p1_response", "daily_check")  # the runbooks whose verdict says whether it is over
MARK = "<!-- draft {} -->\n"  # the last line of a draft: a digest of what stands above it


def runs_of(system: Settings, incident: str) -> list[Run]:
    """The runs of an incident, oldest first. Raises UnknownName if there are none."""
    name, store = checked_incident(incident), store_of(system)
    with ThreadPoolExecutor(8) as pool:
        names = names_in(store)[::-1]
        belong = pool.map(lambda one: _incident_of(store, one) == name, names)
        runs = (read_run(store, one) for one, belongs in zip(names, belong, strict=True) if belongs)
        found = [run for run in runs if not run.compared]
    if not found:
        raise UnknownName(**text_of(__file__, "no_run", incident=incident, store=store))
    return sorted(found, key=lambda run: (run.name[:16], plain(run.record.get("started_at"))))


def _incident_of(store: Store, name: str) -> object:
    record = mapping(json_of(store.content(f"runs/{name}/record.json")))
    return mapping(record.get("parameters") if record else read_run(store, name).given).get("incident")


def draft(system: Settings, incident: str) -> list[Path]:
    """Write the draft as Markdown and HTML, and return the paths; a file that somebody has edited stays as it is.

    Raises as `runs_of`.
    """
    runs, folder = runs_of(system, incident), writable(records_directory(system) / f"incident-{incident}")
    texts = {"md": page("post_mortem.md.j2", **_story(system, incident, runs))}
    texts["html"] = incident_page(system, incident, runs)
    return [_publish(folder / f"post_mortem.{kind}", text) for kind, text in texts.items()]


def incident_page(system: Settings, incident: str, runs: list[Run], base: str = "") -> str:
    """The page of an incident; `base` is where the pages of its records are, "" for nowhere."""
    return page("incident.html.j2", "record.js", base=base, **_story(system, incident, runs))


def _publish(path: Path, text: str) -> Path:
    """Write a draft, under the next free name if the file has other words than a draft of ours."""
    number, free, text = 1, path, text.rstrip() + "\n"
    while free.exists() and _edited(free.read_text(encoding="utf-8", errors="replace")):
        free = path.with_stem(f"{path.stem}-{(number := number + 1)}")
    publish(free, (text + _mark(text)).encode())
    return free


def _edited(text: str) -> bool:
    body, mark, end = text.rpartition(MARK[:11])
    return mark + end != _mark(body)


def _mark(text: str) -> str:
    return MARK.format(sha256(text.encode()).hexdigest()[:16])


def _story(system: Settings, incident: str, runs: list[Run]) -> Row:
    """What the templates need: all runs, those that count, notes and times. What does not verify does not count.

    `acted` are those whose journals are shown, with the rows of the attempt that each made or continued: also runs
    without an end, because they may have changed something.
    """
    rows, good = [row_of(run, system) for run in runs], [run for run in runs if run.ended and not run.faults]
    notes = [{key: plain(note[key]) for key in ("at", "who", "text")} for note in notes_of(system, incident)]
    mattered = [row for row in rows if row["result"] != "refused"] or rows
    newest = next((row for row in reversed(rows) if row["runbook"] in CHECKING), mattered[-1])
    told = {"incident": incident, "rows": rows, "runs": good, "notes": notes, "newest": newest}
    told["environment"] = system.environment
    told["acted"] = [(run, _attempt(store_of(system), run)) for run in runs if {*run.faults} <= {NO_END}]
    told |= {"rehearsal": target(system.environment) == "sandbox"} | _alone(system, incident, runs)
    return told | _times(system, good)


def _attempt(store: Store, run: Run) -> list[Row]:
    """The rows of the attempt to apply a plan that a run made or continued; [] without one."""
    places = [plain(row.get("journal")) for row in run.rows if row["kind"] == "APPLY"]
    with suppress(Broken, ForeignFile, ValueError):  # of a place that is anybody's words, too
        return rows_in(store, places[-1]) if places else []
    return []


def _alone(system: Settings, incident: str, runs: list[Run]) -> Row:
    """Who opened it, the reviews of what one person signed alone, and what nobody else has reviewed."""
    store, told = store_of(system), dict[str, list[Row]](openings=[], reviews=[], waiting=[])
    places = {str(row.get("plan")) for run in runs for row in run.rows if row["kind"] == "APPLY"}
    places = {f"approvals/{plan}" for plan in places if re.fullmatch("[0-9a-f]{64}", plan)}
    names = [name for place in (f"{Opening.folder}/{incident.lower()}", *places) for name in store.list(place)]
    if not (found := {key: one for key, one in alone(store, names, []).items() if one.incident == incident}):
        return told
    with suppress(RunbookError):  # nobody may sign here, so no signature counts
        signers = signers_of(system, target(system.environment))
        openings = verified(store, signers, [n for n in names if n.startswith(Opening.folder)], Opening, [])
        told["openings"] = [one.model_dump() for one in openings if one.incident == incident]
        reviews = [*reviews_of(store, signers, found, [])]
        told["reviews"] = [{**one.model_dump(), "what": found[one.of].model_dump()} for one in reviews]
        found = {key: one for key, one in found.items() if key not in {one.of for one in reviews}}
    told["waiting"] = [{**one.model_dump(), "id": key[:12]} for key, one in found.items()]
    return told


def _times(system: Settings, runs: list[Run]) -> Row:
    """The first symptom, the recovery and the time between them, by the cloud's clock; "" where they are not known.

    Broken is what was not ok in the first check that was not, and what later ones alert of, or of a function. It is
    over when later findings are ok for all of it; `still` is what none is ok for, by its newest finding. Whether a
    message or another change was refused says nothing of the system.
    """
    still, symptoms, over = dict[tuple[str, str], tuple[str, str]](), list[datetime](), None
    checks = [(_time(one.report.get("at"), UTC, time_in(one.name)), one) for one in runs if one.runbook in CHECKING]
    # The clock of the sandbox starts anew in each run: there, the order of the runs counts.
    for at, run in sorted(checks, key=lambda one: EVER[0] if one[1].report.get("target") == "sandbox" else one[0]):
        found = [one for one in run.findings if one["check"] != "change"]
        bad = {(_kind(one), one["subject"]): (run.runbook, one) for one in found if _broken(one, not symptoms)}
        was, still = still, {what: how for what, how in still.items() if not _is_ok(*what, how[0], run)} | bad
        told = re.search(r" since (\d{4}-\d\d-\d\d \d\d:\d\d) ", " ".join(map(str, listed(run.report.get("answer")))))
        symptoms += [_time(told[1], system.zone, at)] if told else [at] * bool(bad)
        over = None if still or not found else at if was else over
    first = min(symptoms, default=None)
    minutes = max(0, int((over - first).total_seconds() // 60)) if first and over else 0
    shown = (f"{at.astimezone(system.zone):%F %H:%M %Z}" if at else "" for at in (first, over))
    lasted = f"{minutes // 60} h {minutes % 60} min" if minutes else ""
    return dict(zip(("symptom", "over", "lasted", "still"), (*shown, lasted, [*still.values()]), strict=True))


def _kind(one: Row) -> str:
    """The severity, causes, and functions that work now are findings on the same things."""
    return "function" if one["check"] in ("severity", "cause", "function now") else one["check"]


def _broken(one: Row, start: bool) -> bool:
    """Whether a finding counts as broken: what warns counts at the start, and if it is of a function."""
    return one["verdict"] in ("alert", "unknown") or (one["verdict"] == "warn" and (start or _kind(one) == "function"))


def _is_ok(kind: str, subject: str, runbook: str, run: Run) -> bool:
    """Whether this run finds ok what was not: the subject; without it, the check; else all of the same runbook."""
    check = [one for one in run.findings if _kind(one) == kind]
    found = [one for one in check if one["subject"] == subject] or check or run.findings * (run.runbook == runbook)
    return bool(found) and all(one["verdict"] == "ok" for one in found)


def _time(text: object, zone: tzinfo, otherwise: datetime) -> datetime:
    """A time that a report says, in this zone if it names none; `otherwise` for what is no time of today's systems."""
    with suppress(ValueError):
        at = datetime.fromisoformat(str(text))
        return (at if at.tzinfo else at.replace(tzinfo=zone)) if 2000 <= at.year < 3000 else otherwise
    return otherwise
