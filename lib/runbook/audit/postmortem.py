"""The post-mortem draft of an incident. It contains only what the records of its runs, and its notes, contain."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from pathlib import Path

from markupsafe import Markup

from runbook.audit.index import Run, given_in, listed, mapping, names_in, plain, read_run, row_of
from runbook.audit.pages import page
from runbook.config.schema import Settings
from runbook.config.validation import checked_incident
from runbook.display.text import Row
from runbook.model.errors import UnknownName
from runbook.records.files import probe, publish
from runbook.records.notes import notes_of
from runbook.records.record import records_directory, store_of

CHECKING = ("p1_response", "daily_check")  # the runbooks whose verdict says whether it is over
MARK = "<!-- draft {} -->\n"  # the last line of a draft: a digest of what stands above it


def runs_of(system: Settings, incident: str) -> list[Run]:
    """The runs of an incident, oldest first. Raises UnknownName if there are none."""
    name, store = checked_incident(incident), store_of(system)
    with ThreadPoolExecutor(8) as pool:
        names = names_in(store)[::-1]
        given = pool.map(lambda one: given_in(store, one), names)
        found = [
            read_run(store, one) for one, values in zip(names, given, strict=True) if values.get("incident") == name
        ]
    if not found:
        hint = f"give each run the parameter -p incident={incident}."
        raise UnknownName(f"no record belongs to {incident}", f"searched {store}/runs", next=hint)
    return found


def draft(system: Settings, incident: str) -> list[Path]:
    """Write the draft as Markdown and HTML, and return the paths; a file that somebody has edited stays as it is.

    Raises as `runs_of`.
    """
    folder, runs = records_directory(system) / f"incident-{incident}", runs_of(system, incident)
    probe(folder)
    texts = {"md": page("post_mortem.md.j2", "", **story(system, incident, runs), md=_cell)}
    texts["html"] = incident_page(system, incident, runs)
    return [_publish(folder / f"post_mortem.{kind}", text) for kind, text in texts.items()]


def incident_page(system: Settings, incident: str, runs: list[Run], base: str = "") -> str:
    """The page of an incident; `base` is where the pages of records are, "" for nowhere."""
    return page("incident.html.j2", "record.js", **story(system, incident, runs), base=base)


def _publish(path: Path, text: str) -> Path:
    """Write a draft, under the next free name if the file has other words than a draft of ours."""
    number, free = 1, path
    while free.exists() and _edited(free.read_text(encoding="utf-8", errors="replace")):
        free = path.with_stem(f"{path.stem}-{(number := number + 1)}")
    publish(free, (text.rstrip() + "\n" + MARK.format(_digest(text.rstrip() + "\n"))).encode())
    return free


def _edited(text: str) -> bool:
    body, mark, end = text.rpartition(MARK[:11])
    return mark + end != MARK.format(_digest(body))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def story(system: Settings, incident: str, runs: list[Run]) -> Row:
    """What the records and the notes say of an incident, as the templates need it. All of it is plain text.

    What does not verify is named, and nothing else of it is used.
    """
    rows, good = [row_of(run, system) for run in runs], [run for run in runs if run.report and not run.faults]
    found = [one for run in good for one in run.findings]
    grades = sorted((one["subject"], one["value"]) for one in found if one["check"] == "severity")
    notes = [{key: plain(note[key]) for key in ("at", "who", "text")} for note in notes_of(system, incident)]
    timeline = [{"at": row["at"], "who": row["person"], "what": row["runbook"], "row": row} for row in rows]
    timeline += [{"at": one["at"], "who": one["who"], "what": "by hand", "said": one["text"]} for one in notes]
    newest = next((row for row in reversed(rows) if row["runbook"] in CHECKING), rows[-1])
    bad = [one for one in found if one["verdict"] == "alert" and one["check"] not in ("cause", "severity", "change")]
    lists = {"impact": [*(why for _, why in grades), *("{check}, {subject}: {value}".format(**one) for one in bad)]}
    lists["causes"] = [f"{one['value']}: {one['subject']}" for one in found if one["check"] == "cause"]
    by_hand = [f"{one['at'][:16]} by hand, {one['who']}: {one['text']}" for one in notes]
    lists["done"] = sorted([*(line for run in good for line in _done(run)), *by_hand], key=lambda line: line[:16])
    lists["open"] = [*_open(newest, rows, good)]
    made = {name: list(dict.fromkeys(map(plain, lines))) for name, lines in lists.items()}
    made |= {"incident": incident, "rows": rows, "severity": grades[0] if grades else ("", ""), "newest": newest}
    said = (f"{run.report.get('project')}, {run.report.get('target')}" for run in good)
    timeline.sort(key=lambda one: one["at"])
    return made | _times(system, good) | {"timeline": timeline, "system": plain(next(said, "unknown"))}


def _times(system: Settings, runs: list[Run]) -> Row:
    """The first symptom, the recovery and the time between them, by the cloud's clock; "" where they are not known.

    It is over at the first check without an alert or an unknown after the last one with one.
    """
    checks, symptoms = list[tuple[datetime, bool]](), list[datetime]()
    for run in (one for one in runs if one.record.get("runbook") in CHECKING):
        checks.append((at := _clock(run), run.verdict in ("alert", "unknown")))
        told = re.search(r" since (\d{4}-\d\d-\d\d \d\d:\d\d) ", " ".join(map(str, listed(run.report.get("answer")))))
        symptoms += [datetime.fromisoformat(told[1]).replace(tzinfo=system.zone)] if told else [at] * checks[-1][1]
    first, last = min(symptoms, default=None), max((at for at, bad in checks if bad), default=None)
    over = min((at for at, bad in checks if last and not bad and at >= last), default=None)
    ends = (("symptom", first), ("over", over))
    shown = {name: f"{at.astimezone(system.zone):%F %H:%M %Z}" if at else "" for name, at in ends}
    minutes = int((over - first).total_seconds() // 60) if first and over else 0
    return shown | {"lasted": f"{minutes // 60} h {minutes % 60} min" if minutes else ""}


def _clock(run: Run) -> datetime:
    """The moment that a run examined; when it began, if its report does not say."""
    try:
        return datetime.fromisoformat(run.report["at"]).astimezone(UTC)
    except (LookupError, ValueError, TypeError, OverflowError):
        return run.at


def _open(newest: Row, rows: list[Row], runs: list[Run]) -> Iterator[str]:
    """What is not settled at the end."""
    if newest["verdict"] in ("alert", "unknown"):
        yield f"the newest check, {newest['id']}: {newest['headline']}"
    for row in (row for row in rows if row["verdict"] in ("none", "unverified")):
        yield f"{row['id']} {'has no verdict' if row['verdict'] == 'none' else 'does not verify'}: {row['headline']}"
    for one in (one for one in newest["bad"] if one["verdict"] == "unknown" and "limit" in one):
        yield f"{one['check']}, {one['subject']}: {one['value']}"
    for run in runs:
        for change in map(mapping, listed(mapping(run.report.get("outcome")).get("changes"))):
            if change.get("status") != "done":
                yield f"{run.name}: {plain(change.get('resource'))}: {plain(change.get('status'))}"


def _done(run: Run) -> Iterator[str]:
    """What a run wrote, who applied and approved it, and what was seen afterwards."""
    started: dict[object, str] = {}
    try:
        for row in run.rows:
            at = row["time"][:16]
            if row["kind"] == "APPLY":
                by = ", ".join(f"{a['approver']} as {a['role']} ({a['reason']})" for a in row["approvals"])
                who = row.get("person") or run.record.get("person") or "not recorded"
                approved = f"approved by {by}" if by else "no approval required"
                yield f"{at} plan {row['plan'][:12]}, applied by {who}, {approved}"
            elif row["kind"] == "INTENT":
                started[row.get("number")] = "{} {action}, {resource}: {before} → {after}".format(at, **row["change"])
            elif row["kind"] == "CONFIRM":
                yield f"{started.pop(row.get('number'), at)}; afterwards: {row['state']}, {row['said']}"
    except (LookupError, TypeError, AttributeError) as error:
        yield f"{run.name}: a row of its journal cannot be read ({type(error).__name__})"
    yield from (f"{line}; not confirmed" for line in started.values())


def _cell(text: object) -> Markup:
    """Somebody's words in Markdown: one line, no HTML, no link or image, and no new column of a table."""
    return Markup(re.sub(r"([\\|\[\]`*_])", r"\\\1", escape(" ".join(str(text).split()), quote=False)))
