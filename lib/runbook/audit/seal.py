"""Turns a notebook that was run in Jupyter and saved into a record."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from runbook.config import RUNBOOKS, Request, Scan, declared_parameters, load_notebook, load_settings, secrets_in, steps
from runbook.model import BadInput, Broken, Row
from runbook.records import Journal, begin, finish, publish, read_report, records_directory, shown_report

WHY = "run by hand in Jupyter and sealed; nobody watched it"
_NAME, _KEYS = r"[A-Za-z][\w-]*", ("runbook", "environment")


def seal(notebook: Path) -> Path:
    """Turn a notebook that was run in Jupyter and saved into a record, in the folder of its run, which is returned.

    The record has the journal of that run, and claims nothing that nobody watched: no verdict, exit code or commit.

    Raises BadInput unless the notebook is a complete run of a runbook, in order, without errors and without a record;
    NoRecord.
    """

    def refused(observed: str, next: str = "restart the kernel, run all cells, save, and seal again.") -> BadInput:
        return BadInput(f"{notebook.name} cannot be sealed", observed, "No record was made.", next)

    try:
        nb, declared = load_notebook(notebook), declared_parameters(notebook)
    except Broken as error:
        raise refused(f"{error.what}: {error.observed}", "give the saved notebook of a run.") from None
    if notebook.resolve().is_relative_to(RUNBOOKS):
        raise refused("it is a committed runbook, not a run", "run a working copy: `make lab`.")
    ran = list(steps(nb["cells"]))
    fault, report = _fault([cell for _, cell, _ in ran]), shown_report(cell for _, cell, _ in ran[-1:])
    if fault or report is None or not all(re.fullmatch(_NAME, str(report.get(k, ""))) for k in _KEYS):
        raise refused(fault or "its last code cell shows no verdict from run.close()")
    given = {name: p.default for name, p in declared.items()}
    given |= nb.get("metadata", {}).get("papermill", {}).get("parameters", {})
    content = Scan(secrets_in(os.environ)).file(notebook.read_bytes())
    folder, rows = _run_of(report, notebook, content, refused)
    if given != rows[0].get("parameters"):
        raise refused(f"it ran with {rows[0].get('parameters')}, but its parameters now say {given}")
    marker = begin(folder, Request(report["runbook"], given), "sealed")
    marker |= {"commit": "unknown", "params_commit": "unknown", "digests": {}, "differ": [], "versions": {}}
    publish(folder / f"{report['runbook']}.ipynb", content)
    ids = [{"id": cell.get("id", str(n)), "step": title, "count": cell["execution_count"]} for n, cell, title in ran]
    cells = [{**row, "status": "not watched"} for row in ids]
    finish(folder, marker | {"started_at": rows[0]["time"]}, status="sealed", why=WHY, exit=None, cells=cells)
    return folder


def _run_of(report: Row, notebook: Path, content: bytes, refused: Callable[..., BadInput]) -> tuple[Path, list[Row]]:
    """The folder and the journal of the run that wrote this report. Raises what `refused` makes if there is none."""
    runs, sealed = records_directory(load_settings(report["environment"])) / "runs", sha256(content).hexdigest()
    for old in (notebook.parent / "record.json", *runs.glob("*/record.json")):
        if old.exists() and (old.parent == notebook.parent or sealed in old.read_text(encoding="utf-8")):
            raise refused(f"it already has a record: {old}", "nothing; a record is written only once.")
    for folder in sorted(path.parent for path in runs.glob("*/journal.jsonl")):
        own = {"folder": str(folder), "attested": False}
        if not (folder / "record.json").exists() and read_report(folder) == report | own:
            rows = Journal(folder).read()
            if rows and rows[0]["kind"] == "START":
                return folder, rows
    raise refused(f"no run in {runs} has this report and a journal", "seal it with the records of its run.")


def _fault(cells: Sequence[Mapping[str, Any]]) -> str:
    """Why these code cells are not a complete run in order without errors; "" if they are."""
    counts = [cell.get("execution_count") for cell in cells]
    failed = [o.get("ename") for cell in cells for o in cell.get("outputs", []) if o.get("output_type") == "error"]
    if None in counts:
        return f"{counts.count(None)} of {len(counts)} code cells did not run"
    if failed:
        return f"a cell failed: {failed[0]}"
    return "" if counts == sorted(set(counts)) else f"its cells did not run in order: {counts}"
