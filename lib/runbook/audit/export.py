"""One zip with everything of a record, or of an incident, and with what verifies it where nothing is installed."""

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from runbook.approvals.signers import attesters_of, folder_of, signers_of
from runbook.audit.index import Run, find_record, read_run, row_of
from runbook.audit.pages import TEMPLATES, page, record_page
from runbook.audit.postmortem import incident_page, runs_of
from runbook.cloud.target import target
from runbook.config import Settings, checked_incident
from runbook.model import Refused, canonical
from runbook.model.errors import BadParameter
from runbook.model.operations import OPERATIONS
from runbook.records import mapping, publish, store_of


def export(system: Settings, what: str, path: Path) -> tuple[str, list[str]]:
    """Write the zip of a record or an incident; return its SHA-256 in hex, and the names of the records in it.

    Raises BadInput and UnknownName if there is none of this name, and NoRecord.
    """
    store, files = store_of(system), dict[str, bytes]()
    try:
        runs = runs_of(system, incident := checked_incident(what))
        files[f"pages/{incident}.html"] = incident_page(system, incident, runs, "./").encode()
        places = [f"notes/{incident.lower()}", f"incidents/{incident.lower()}"]
    except BadParameter:
        runs, places = [read_run(store, find_record(store, what))], []
    for run in runs:
        files[f"pages/{run.name}.html"] = record_page(run, row_of(run, system)).encode()
        places += [f"runs/{run.name}", *_of_plan(run)]
    names = [run.name for run in runs]
    found = (name for place in dict.fromkeys(places) for name in store.list(place))
    for name in (*found, *store.list("manifests")[-1:]):  # the newest lists every record that had ended
        files[f"store/{name}"] = store.read(name) or b""
    files |= {f"keys/{name}": content for name, content in _keys(system)}
    files["verify.py"] = (TEMPLATES / "verify.py.txt").read_bytes()
    files["README.txt"] = page("export.txt.j2", what=what, names=names, system=system, store=store, all=files).encode()
    sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    files["SHA256SUMS"] = sums.encode()
    whole = io.BytesIO()
    with ZipFile(whole, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    publish(path, whole.getvalue())
    return sha256(whole.getvalue()).hexdigest(), names


def _of_plan(run: Run) -> Iterator[str]:
    """Where the store has the plan of a run, its approvals, and the journal of its application."""
    if re.fullmatch("[0-9a-f]{64}", plan := str(mapping(run.report.get("outcome")).get("plan"))):
        yield from (f"plans/{plan[:12]}", f"approvals/{plan}", f"applied/{plan[:12]}")


def _keys(system: Settings) -> Iterator[tuple[str, bytes]]:
    """The public keys and roles of those who may sign, and who must: in JSON, which is YAML, and python3 reads it."""
    folder, here = folder_of(system, target(system.environment)), target(system.environment)
    yield "operations.json", canonical({name: rule.signers for name, rule in system.operations.items()})
    yield "actions.json", canonical({name: [kind.action for kind in of.actions] for name, of in OPERATIONS.items()})
    with suppress(Refused):  # nobody may sign here
        yield "roles.yaml", canonical({"people": {p: sorted(r) for p, r in signers_of(system, here).roles.items()}})
        keys = attesters_of(system, here).keys
        yield "attesters", "".join(f"{person} {key}\n" for person, lines in keys.items() for key in lines).encode()
    for name in ("allowed_signers", "revoked"):
        if (folder / name).is_file():
            yield name, (folder / name).read_bytes()
