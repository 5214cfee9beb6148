"""Verifies records, and the manifests that somebody signs from time to time over the digests of all records.

A record proves itself against accidents, and its changes against forgers (`faults`). That whole records were deleted,
replaced or added is found with the newest manifest, for all records that it lists.

    manifests/<number>   {"statement": …, "signature": …}; numbered without a gap, see `Manifest`
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from runbook.approvals.proved import faults
from runbook.approvals.signed import Note, put, values_of, verified
from runbook.approvals.signers import ATTESTER, attesters_of
from runbook.audit.index import find_record, time_in
from runbook.cloud.target import target
from runbook.config import Settings, checked_incident
from runbook.data_file import text_of
from runbook.model import BadParameter, Refused, Row, RunbookError
from runbook.records import Directory, Store, json_of, listed, mapping, store_of
from runbook.records.plans import Id, clock, utc_text
from runbook.records.proof import NO_END, Examined, examined, labels_of

LATE = timedelta(hours=1)  # in which a record may still be on its way
LONGEST = timedelta(days=1)  # from the begin of a run to its end
GONE = ("it is gone: the manifest lists it",)
THREADS = 32  # a bucket answers each read after some milliseconds; a directory at once. As many connections are kept


class Manifest(Note):
    """The SHA-256 of each record.json; `known` are records with faults that whoever signed it has accepted.

    A record that is lost or was replaced stays in `records` with its old digest, so that nothing can take its place;
    `accepted` has the digest of what was there instead, "" for nothing.
    `incidents` has the names of the records of each incident. Manifests of older versions do not have the last two.
    """

    folder = "manifests"
    limit = 2**24
    number: int
    records: dict[str, Id]
    known: list[str]
    accepted: dict[str, str] | None = None
    incidents: dict[str, list[str]] | None = None

    @property
    def place(self) -> str:
        return f"{self.folder}/{self.number:06d}"


@dataclass
class Verified:
    """What was found: the `faults` of each record, () if it is proved; `digests` of records that have an end,
    and `incidents`, the names of those that belong to one.

    `manifest` is the newest that counts, None for none; `ignored` says why others do not count.
    """

    faults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    incidents: dict[str, list[str]] = field(default_factory=dict)
    manifest: Manifest | None = None
    ignored: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, tuple[str, ...]]:
        """Records with a fault, without those that only have no end."""
        return {run: found for run, found in self.faults.items() if set(found) - {NO_END}}


def verify(system: Settings, only: str = "") -> Verified:
    """Verify one record, by its name or a part of it, or all, also against the newest manifest.

    Raises BadInput, NoRecord.
    """
    store, files, found = store_of(system), defaultdict[str, Row](dict), Verified()
    found.manifest = newest(system, store, found.ignored)
    listed = found.manifest.records if found.manifest else {}
    if only and f"runs/{only}" not in store.children("runs"):
        only = find_record(store, only, listed)
    for name, labels in store.files.labels(f"runs/{only}" if only else "runs").items():
        files[name.split("/")[1]][name] = labels
    if found.ignored and not found.manifest:
        found.faults[Manifest.folder] = ("none of them counts: what was deleted or replaced cannot be told",)
    with ThreadPoolExecutor(1 if isinstance(store.files, Directory) else THREADS) as pool:
        looked = pool.map(lambda run: _looked_at(store, run, files[run], found.manifest), sorted(files))
    for run, digest, incident, wrong in looked:
        found.faults[run] = wrong
        if NO_END not in wrong:
            found.digests[run] = digest
        if incident:
            found.incidents.setdefault(incident, []).append(run)
    for run in {only} & listed.keys() if only else listed.keys() - files.keys():
        found.faults.setdefault(run, GONE)
    return found


def _looked_at(store: Store, run: str, names: Row, manifest: Manifest | None) -> tuple[str, str, str, tuple[str, ...]]:
    """The name of a record, the digest of its record.json, its incident ("" for none), and its faults."""
    one = examined(store, run, names)
    incident = str(mapping(one.record.get("parameters")).get("incident") or "")
    try:
        incident = "" if one.record.get("compares") or NO_END in one.faults else checked_incident(incident)
    except BadParameter:  # anybody's text
        incident = ""
    edited = names.get(f"runs/{run}/record.json") not in (None, labels_of(one.record))
    wrong = (
        *faults(store, one),
        *_contradicted(run, one, manifest),
        *("the metadata of record.json was edited",) * edited,
    )
    return run, one.digest, incident, wrong


def _contradicted(run: str, one: Examined, manifest: Manifest | None) -> Iterator[str]:
    """What the manifest and the times of a record say against it.

    The times in its name and at its end are anybody's words, so both must be possible.
    """
    if manifest and manifest.records.get(run, one.digest) != one.digest:
        yield f"it is not the record that {manifest.person} attested at {manifest.at}"
    began, ended, latest = time_in(run), str(one.record.get("ended_at")), datetime.now(UTC) + LATE
    if NO_END in one.faults:
        return
    if began > latest or ended > utc_text(latest):
        yield "it begins or ends in the future"
    signed = clock(manifest.at) if manifest and run not in manifest.records else None
    if signed and (ended < utc_text(signed - LATE) or began < signed - LONGEST):
        yield "it ended long before the manifest, which does not list it: it was sent late, or forged"


def newest(system: Settings, store: Store, ignored: list[str]) -> Manifest | None:
    """The newest manifest whose signature counts, if there are any."""
    if not (names := store.list(Manifest.folder)):
        return None
    try:
        signers = attesters_of(system, target(system.environment))
    except RunbookError as error:
        ignored.append(f"no manifest counts: {error.what}: {error.observed}")
        return None
    if names != [f"{Manifest.folder}/{number:06d}" for number in range(1, len(names) + 1)]:
        ignored.append("manifests are missing: their numbers have a gap")
    return next(verified(store, signers, reversed(names), Manifest, ignored), None)


def attest(system: Settings, who: str, key: Path, reason: str = "") -> tuple[Manifest, Verified]:
    """Verify all records, and sign their digests. Raises Refused for new faults, unless there is a reason for them."""
    store, here, now = store_of(system), target(system.environment), datetime.now(UTC)
    found = verify(system)
    old, there = found.manifest, {run: found.digests.get(run, "") for run in found.wrong}
    known = {} if old is None else {run: there.get(run) for run in old.known} if old.accepted is None else old.accepted
    if (new := sorted(run for run in there if known.get(run) != there[run])) and not reason:
        lines = [f"{run}: {'; '.join(found.faults[run])}" for run in new[:5]]
        raise Refused(**text_of(__file__, "not_attested", count=len(new), said="\n".join(lines)))
    numbers = {int(name[-6:]) for name in store.list(Manifest.folder) if re.search(r"/\d{6}$", name)}
    notes = map(mapping, map(json_of, map(store.content, store.list("pruned"))))
    pruned = {str(run) for note in notes for run in listed(note.get("records"))}
    for run in (Manifest.folder, *(one for one in pruned if found.faults.get(one) == GONE)):
        found.faults.pop(run, None)
    kept = {run: digest for run, digest in (old.records if old else {}).items() if run in found.faults}
    for incident, runs in ((old and old.incidents) or {}).items():
        found.incidents[incident] = sorted({*found.incidents.get(incident, ()), *runs} & kept.keys())
    values = values_of(system, here, who, ATTESTER, reason or "the records of today", now)
    number = next(n for n in count(old.number + 1 if old else 1) if n not in numbers)
    values |= {"number": number, "records": found.digests | kept, "incidents": found.incidents}
    values |= {"known": sorted(found.wrong), "accepted": {run: there[run] for run in found.wrong}}
    return put(Manifest, values, store, attesters_of(system, here), key, now), found
