"""The static site over records: a page for each record and each incident, and one index. It needs no server.

Records never change, so only the pages of new records are made; `records.json` beside the index says which are known.
The page of a record or an incident is named by its environment and its own name: others may have one of that name.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from runbook.approvals.signed import actor, awaiting
from runbook.approvals.signers import signers_of
from runbook.audit.index import names_in, read_run, row_of
from runbook.audit.pages import TEMPLATES, page, record_page
from runbook.audit.postmortem import incident_page
from runbook.audit.verify import Verified
from runbook.audit.verify import newest as newest_manifest
from runbook.cloud.target import target
from runbook.config import Settings, checked_incident
from runbook.model import BadParameter, Row, RunbookError
from runbook.records import Store, json_of, mapping, now, probe, publish, store_of
from runbook.records.proof import NO_END

KIND = ("check", "subject", "limit", "verdict")  # of a finding, in `checks`
NEXT = b"<!--next-->"  # where a page links to the next one, which did not exist when it was made


def site(systems: Sequence[Settings], out: Path, again: bool = False) -> tuple[int, int]:
    """Write the site of some environments; return the number of new pages, and of all records. Raises NoRecord.

    `again` makes every page again, and so verifies every record again.
    """
    for name in ("records", "incidents"):
        probe(out / name)
    path, rows, new, searched, shown = out / "records.json", dict[str, Row](), set[str](), list[Row](), list[Row]()
    known = mapping(json_of(path.read_bytes())) if path.exists() and not again else {}
    pages = sha256(b"".join(file.read_bytes() for file in sorted(TEMPLATES.iterdir()))).hexdigest()
    known = known if known.get(".pages") == pages else {}  # all pages look the same
    notes = {system.environment: store_of(system).list("notes") for system in systems}
    for system in systems:
        store, newest, mine, own = store_of(system), dict[str, str](), list[Row](), system.environment
        noted = {name.split("/")[1] for name in notes[own] if name not in known.get(".notes", {}).get(own, ())}
        names = names_in(store)
        signed = Verified()
        signed.manifest = newest_manifest(system, store, signed.ignored)
        for name in (f"{own}.{name}" for name in reversed(names)):  # two stores may have records of one name
            if (row := known.get(name, {})).get("open", True):  # new, or it may have ended by now
                row = _record(system, store, name, newest, out, signed)
                new.add(name)
            before = newest.get(row["runbook"], "")
            if new & {name, before} and (page_before := out / "records" / f"{before}.html").is_file():
                link = f'<a id="after" href="{name}.html" title="key: right">next →</a>'
                publish(page_before, page_before.read_bytes().replace(NEXT, link.encode(), 1))
            newest[row["runbook"]], rows[name] = name, row
            mine.append(row)
        fresh = [row for row in mine if f"{own}.{row['id']}" in new or row["incident"].lower() in noted]
        for incident in {row["incident"] for row in fresh}:
            _incident(system, store, incident, [row["id"] for row in mine if row["incident"] == incident], out)
        searched.append(_searched(system, store, signed, {row["id"]: row["digest"] for row in mine}))
    waiting = [one for system in systems for one in _awaiting(system)]
    kinds = dict[tuple[str, ...], int]()  # each check, subject and limit is in the page once; rows have their numbers
    for row in rows.values():
        checks = [[kinds.setdefault(tuple(one[:3]), len(kinds)), *one[3:]] for one in row["checks"]]
        shown.append(row | {"checks": checks, "digest": ""})
    data = {"rows": shown, "kinds": [*kinds], "waiting": waiting, "searched": searched, "made": now()}
    publish(out / "index.html", page("index.html.j2", "index.js", data=data).encode())
    publish(path, json.dumps(rows | {".notes": notes, ".pages": pages}, ensure_ascii=False).encode())
    return len(new), len(rows)


def _record(system: Settings, store: Store, key: str, newest: Row, out: Path, signed: Verified) -> Row:
    """Write the page `key` of a record; return its row, with when it was verified, and its findings as `checks`.

    `open` says that the run has no recorded end yet; `digest` is that of its record.json, which a manifest lists.
    """
    name = key.partition(".")[2]
    run, found = read_run(store, name), signed.manifest
    digest = sha256(run.files.get("record.json", b"")).hexdigest()
    row = row_of(run, system) | {"open": NO_END in run.faults, "verified": now(), "digest": digest}
    row |= {"faults": len(run.faults), "manifest": found.number if found and found.records.get(name) == digest else 0}
    row["checks"] = [[*(one[key] for key in KIND), one["value"][:24]] for one in run.findings if not run.faults]
    publish(out / "records" / f"{key}.html", record_page(run, row, newest.get(run.runbook, "")).encode())
    return row


def _searched(system: Settings, store: Store, signed: Verified, digests: Row) -> Row:
    """Where records were searched, and what the newest manifest that counts says of these digests."""
    said = {"store": str(store), "target": target(system.environment), "zone": str(system.zone)}
    if found := signed.manifest:
        lost = {name for name, digest in found.records.items() if digests.get(name) != digest} - {*found.known}
        said |= found.model_dump(include={"number", "at", "person"}) | {"lost": [*lost], "listed": len(found.records)}
    return said | {"environment": system.environment, "ignored": signed.ignored}


def _incident(system: Settings, store: Store, incident: str, names: Sequence[str], out: Path) -> None:
    """Write the page of an incident, unless its name, which may be anybody's, is none."""
    with suppress(BadParameter):
        name, runs = f"{system.environment}.{checked_incident(incident)}", [read_run(store, name) for name in names]
        publish(out / "incidents" / f"{name}.html", incident_page(system, incident, runs, "../records/").encode())


def _awaiting(system: Settings) -> list[Row]:
    """What one person did alone and nobody else has reviewed."""
    about = {"environment": system.environment}
    try:
        found = awaiting(store_of(system), signers_of(system, target(system.environment)), [])
    except RunbookError as error:
        return [about | {"what": f"could not tell: {error.what}"}]
    whole = {key: one.model_dump(include={"incident", "reason", "until"}) for key, one in found.items()}
    return [about | said | {"id": key[:12], "who": actor(found[key])} for key, said in whole.items()]
