"""The record of a run: a folder that is correct after success, an error or a crash.

    <records>/<google or rehearsal>/<environment>/runs/<time>-<runbook>-<4 hex>/
        <runbook>.ipynb     the executed notebook          report.json     the notebook's report (`close`)
        journal.jsonl       events that survive a crash    record.json     what the runner observed
        plan.json           the plan that it made          approvals.json  what was signed, and the approvals used

`record.json` is first written with the status `running`, which remains after a SIGKILL or a power cut. Only a runner or
`runbook seal` writes it; a report in a folder without it is unattested. Files whose names begin with a dot are not part
of it. Its keys:

    schema, how, name        1; "runner", or "sealed": run by hand in Jupyter and saved; the name of the folder
    runbook, parameters      the request
    who, person, pid         user@host, RUNBOOK_PERSON if it is set, and process
    commit, params_commit    git commits of the code and of the params, "-dirty" if files differ, "unknown" for none;
                             "-claimed": RUNBOOK_COMMIT of an image without .git, compared with nothing
    digests, differ          SHA-256 of the code's and the params' files, and of the input notebook; the first 20 files
                             that differ from the commit
    versions                 Python and main packages
    started_at, ended_at     UTC; for a sealed record, when it was sealed
    status, why              running, finished, failed, kernel_died, timeout, interrupted, terminated, sealed; a reason
    verdict, exit            the report's verdict, only if this run finished and wrote one; the exit code
    cells                    each code cell: its id, step, status (pending, running, completed, failed) and seconds;
                             for a sealed record, the execution count instead of seconds
    compares                 the plan, for a run in which `runbook plans` only compared it with the system
    sha256, proof            digests of the other files, and of record.json without `proof`; see records/proof.py
"""

import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.cloud.target import target
from runbook.config import ROOT, Request, Scan, Settings, records_variable, secrets_in
from runbook.model import Exit, NoRecord, Taken, Verdict
from runbook.model.report import MIME
from runbook.records.files import digest, json_of, mapping, now, private, probe, publish, unwritable, write_json
from runbook.records.proof import SIGNED, begun, labels_of, with_proof
from runbook.records.provenance import here
from runbook.records.store import NAME, Directory, Store

SCAN = Scan()
RESERVED_BYTES = ".room"  # a file that reserves disk space for the last write
SENT = ".published"  # in a folder that is complete in the store
MEANT = ".store"  # a file that names the bucket to which the record is to be sent


def store_of(system: Settings) -> Store:
    """The record store of an environment, for the target of this process. Raises what `records_variable` raises."""
    place = records_variable() or system.records
    if not place.startswith("gs://"):
        return Store(records_directory(system), shared=system.records_shared)
    from runbook.cloud.bucket import bucket_at  # only for these stores: its imports take time

    served = os.environ.get("STORAGE_EMULATOR_HOST", "")
    return Store(bucket_at(f"{place.rstrip('/')}/{_below(system)}", served), shared=True)


def records_directory(system: Settings) -> Path:
    """The local folder for the records of an environment: RUNBOOK_LOCAL or records/ if the store is a bucket.

    Raises what `records_variable` raises.
    """
    place = records_variable() or system.records
    local = os.environ.get("RUNBOOK_LOCAL", "records") if place.startswith("gs://") else place
    return ROOT / local / _below(system)


def _below(system: Settings) -> str:
    """Rehearsals are kept, but never among the records of the real system."""
    return f"{'google' if target(system.environment) == 'google' else 'rehearsal'}/{system.environment}"


def new_directory(system: Settings, runbook: str) -> Path:
    """Make the folder of a new run. Raises NoRecord if that is not possible."""
    parent = records_directory(system) / "runs"
    folder = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{runbook}-{secrets.token_hex(4)}"
    probe(parent)
    try:
        folder.mkdir(mode=0o700)
        if str(store := store_of(system)).startswith("gs://"):
            with private(folder / MEANT, "wb") as file:
                file.write(str(store).encode())
    except OSError as error:
        raise unwritable(folder, error, "Nothing was run.") from None
    return folder


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of a run; None if it is missing or not valid."""
    with suppress(OSError):
        report = json_of((folder / "report.json").read_bytes())
        return report if is_report(report) else None
    return None


def is_report(data: Any) -> bool:
    """Whether data has the fields that a report needs."""
    known = isinstance(data, dict) and isinstance(data.get("verdict"), str) and isinstance(data.get("exit"), int)
    return known and data["verdict"] in Verdict.__members__ and data["exit"] in set(Exit)


def shown_report(cells: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The last report that these cells show; None if there is none, or if it is not valid."""
    shown = [o["data"][MIME] for cell in cells for o in cell.get("outputs", ()) if MIME in o.get("data", {})]
    return dict(shown[-1]) if shown and is_report(shown[-1]) else None


def begin(folder: Path, request: Request, how: str = "runner", notebook: Path | None = None) -> dict[str, Any]:
    """Write the marker that a run has started, and reserve disk space; return the marker for `finish`.

    Raises NoRecord.
    """
    publish(folder / RESERVED_BYTES, bytes(65536))
    about = {"schema": 1, "how": how, "name": folder.name, "runbook": request.runbook}
    about |= {"parameters": dict(request.values), **here()}
    if notebook and notebook.is_file():
        about["digests"]["input"] = digest(notebook)
    marker = begun({**about, "started_at": now()})
    write_json(folder / "record.json", marker)
    return marker


def finish(
    folder: Path, marker: Mapping[str, Any], report: Mapping[str, Any] | None = None, scan: Scan = SCAN, **seen: Any
) -> dict[str, Any]:
    """Replace the marker with the complete record: `report` and `seen` are what the runner observed. Raises NoRecord.

    A report in the folder may be anybody's: it is replaced, and attested only for a run that finished. The files have
    no secret that `scan` finds, and their digests are those of the final files.
    """
    (folder / RESERVED_BYTES).unlink(missing_ok=True)
    attested = seen["status"] == "finished" and report is not None
    with suppress(NoRecord):  # on a full disk, record.json is more important
        if shown := report or read_report(folder):
            write_json(folder / "report.json", {**scan.data(dict(shown)), "folder": str(folder), "attested": attested})
        _clean(folder, scan)
    verdict = report["verdict"] if attested and report else None
    whole = scan.data({**marker, "ended_at": now(), "verdict": verdict, **seen})
    whole["sha256"] = {name: digest(folder / name) for name in parts(folder) if name != "record.json"}
    publish(folder / "record.json", with_proof(whole))
    return json_of((folder / "record.json").read_bytes())


def _clean(folder: Path, scan: Scan) -> None:
    """Remove secrets from the files that the cells have written. What is signed stays as it is."""
    for name in set(parts(folder)) - {*SIGNED, "report.json", "record.json"}:
        content = (folder / name).read_bytes()
        if (clean := scan.file(content)) != content:
            publish(folder / name, clean)


def parts(folder: Path) -> list[str]:
    """The names of the files that belong to a record: those that a store can have."""
    return sorted(p.name for p in folder.iterdir() if p.is_file() and not p.is_symlink() and NAME.fullmatch(p.name))


# --- from the local folder into a store in a bucket: `begin.json` first, `record.json` last
#
# A run never fails because its record cannot be published: the folder stays, and `runbook records push` sends it later.
# For a store in a directory there is nothing to send, because the folder lies in it.


def publish_begin(system: Settings, folder: Path) -> str:
    """Send the marker of a run that has begun, so that a run without an end is noticed; return why not, "" if sent."""
    return _tried(store_of(system), folder, [(folder / "record.json", "begin.json")])


def publish_run(system: Settings, folder: Path) -> str:
    """Send the files of a run that has ended; return why not, "" if they are in the store."""
    store = store_of(system)
    files = [(folder / name, name) for name in parts(folder)]
    why = _tried(store, folder, sorted(files, key=lambda file: file[1] == "record.json"))
    if not why and not isinstance(store.files, Directory):
        (folder / SENT).touch(0o600)
    return why


def unpublished(system: Settings) -> tuple[list[Path], list[Path]]:
    """The local folders of runs that are not in the store, oldest first: those to send, and those of other stores.

    There are none for a store in a directory. A run that was killed stays "running": the store has its begin, and no
    end. An older version of `runbook` did not write down for which store a run was.
    """
    store, found = store_of(system), (list[Path](), list[Path]())
    if isinstance(store.files, Directory):
        return found
    for path in sorted((records_directory(system) / "runs").glob("*/record.json")):
        if (json_of(path.read_bytes()) or {}).get("status") != "running" and not (path.parent / SENT).exists():
            place = path.with_name(MEANT)
            found[not place.exists() or place.read_text(encoding="utf-8") != str(store)].append(path.parent)
    return found


def _tried(store: Store, folder: Path, files: list[tuple[Path, str]]) -> str:
    if isinstance(store.files, Directory):
        return ""
    scan = Scan(secrets_in(os.environ))
    contents = [(name, path.read_bytes()) for path, name in files]
    if found := [name for name, content in contents if name not in SIGNED and scan.file(content) != content]:
        return f"{', '.join(found)} contains what looks like a secret; it stays on this machine"
    for name, content in contents:
        place = f"runs/{folder.name}/{name}"
        try:
            store.create(place, content, labels_of(mapping(json_of(content))) if name == "record.json" else None)
        except Taken:
            return f"{store}/{place} exists with another content"
        except (NoRecord, OSError) as error:
            return str(getattr(error, "observed", "") or error)
    return ""
