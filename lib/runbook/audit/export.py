"""One zip with everything of a record, or of an incident, and with what verifies it where nothing is installed."""

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from runbook.approvals import ssh
from runbook.approvals.signers import attesters_of, folder_of, signers_of
from runbook.audit.index import Run, find_record, read_run, row_of
from runbook.audit.pages import TEMPLATES, page, record_page
from runbook.audit.postmortem import incident_page, runs_of
from runbook.audit.verify import newest
from runbook.cloud.target import target
from runbook.config import Settings, checked_incident
from runbook.model import BadParameter, Refused, canonical
from runbook.model.operations import OPERATIONS
from runbook.records import mapping, publish, store_of
from runbook.records.plans import utc_text


def export(system: Settings, what: str, path: Path, who: str = "", key: Path | None = None) -> tuple[str, list[str]]:
    """Write the zip of a record or an incident; return its SHA-256 in hex, and the names of the records in it.

    With `who`, one of those who may sign manifests seals it with a private SSH key. Raises BadInput and UnknownName if
    there is none of this name, Refused if they may not, and NoRecord.
    """
    store, files, incident = store_of(system), dict[str, bytes](), ""
    try:
        runs = runs_of(system, incident := checked_incident(what))
        files[f"pages/{incident}.html"] = incident_page(system, incident, runs, "./").encode()
        places = [f"notes/{incident.lower()}", f"incidents/{incident.lower()}"]
    except BadParameter:
        runs, places = [read_run(store, find_record(store, what))], []
    for run in runs:
        files[f"pages/{run.name}.html"] = record_page(run, row_of(run, system)).encode()
        places += [f"runs/{run.name}", *_of_plan(run)]
    names, manifest = [run.name for run in runs], newest(system, store, [])
    found = [name for place in dict.fromkeys(places) for name in store.list(place)]
    found += sorted({f"nonces/{Path(name).stem}" for name in found} & {*store.list("nonces")})
    for name in (*found, *([manifest.place] if manifest else ())):
        files[f"store/{name}"] = store.read(name) or b""
    files |= {f"keys/{name}": content for name, content in _keys(system)}
    files["verify.py"] = (TEMPLATES / "verify.py.txt").read_bytes()
    about = {"incident": incident, "records": sorted(names), "by": who, "at": utc_text(datetime.now(UTC))}
    about |= {"environment": system.environment, "project": system.project, "target": target(system.environment)}
    files["export.json"] = canonical(about)
    files["README.txt"] = page("export.txt.j2", what=what, store=store, manifest=manifest, about=about).encode()
    files |= _sealed(system, who, key, files)
    whole = io.BytesIO()
    with ZipFile(whole, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    publish(path, whole.getvalue())
    return sha256(whole.getvalue()).hexdigest(), names


def _sealed(system: Settings, who: str, key: Path | None, files: dict[str, bytes]) -> dict[str, bytes]:
    """The digests of all files, and their signature if somebody seals them. Raises Refused."""
    sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()
    if not key:
        return {"SHA256SUMS": sums}
    signers = attesters_of(system, here := target(system.environment), ssh.EXPORTS)
    signers.verify(who, sums, seal := ssh.sign(sums, key, here, ssh.EXPORTS), datetime.now(UTC))
    return {"SHA256SUMS": sums, "SHA256SUMS.sig": seal.encode()}


def _of_plan(run: Run) -> Iterator[str]:
    """Where the store has the plan of a run, its approvals, and the journal of its application."""
    for plan in {str(one.get("plan")) for one in (mapping(run.report.get("outcome")), *run.rows)}:
        if re.fullmatch("[0-9a-f]{64}", plan):
            yield from (f"plans/{plan[:12]}", f"approvals/{plan}", f"applied/{plan[:12]}")


def _keys(system: Settings) -> Iterator[tuple[str, bytes]]:
    """The public keys and roles of those who may sign, and who must: in JSON, which is YAML, and python3 reads it."""
    folder, here = folder_of(system, target(system.environment)), target(system.environment)
    yield "operations.json", canonical({name: rule.model_dump() for name, rule in system.operations.items()})
    yield "functions.json", canonical({function.name: function.repeat for function in system.functions})
    yield "actions.json", canonical({name: [kind.action for kind in of.actions] for name, of in OPERATIONS.items()})
    with suppress(Refused):  # nobody may sign here
        yield "roles.yaml", canonical({"people": {p: sorted(r) for p, r in signers_of(system, here).roles.items()}})
        keys = ((person, key) for person, its in attesters_of(system, here).keys.items() for key in its)
        lines = "".join(f"{person} {key}\n" for person, key in keys)  # who may sign manifests may seal exports
        yield "attesters", lines.replace(old := f'"{ssh.MANIFESTS[here]}', f"{old},{ssh.EXPORTS[here]}").encode()
    for name in ("allowed_signers", "revoked"):
        if (folder / name).is_file():
            yield name, (folder / name).read_bytes()
