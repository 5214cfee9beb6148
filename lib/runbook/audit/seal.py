"""Turns a notebook that was run in Jupyter and saved into a record."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.parameters import declared_parameters, load_notebook, steps
from runbook.config.request import Request
from runbook.model.errors import BadInput, Broken
from runbook.records.files import digest, publish
from runbook.records.record import begin, finish, is_report, new_directory, records_directory, write_report


def seal(notebook: Path) -> Path:
    """Turn a notebook that was run in Jupyter and saved into a record, and return the record's new folder.

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
    fault, report = _fault([cell for _, cell, _ in ran]), _shown_report(ran[-1][1] if ran else {})
    if fault or report is None:
        raise refused(fault or "its last code cell shows no verdict from run.close()")
    injected = nb.get("metadata", {}).get("papermill", {}).get("parameters", {})
    given = {name: p.default for name, p in declared.items()} | injected
    if report["environment"] != given.get("environment"):
        raise refused(f"it ran on {report['environment']}, but its parameters now say {given.get('environment')}")
    system, content = load_settings(report["environment"]), notebook.read_bytes()
    for old in (notebook.parent / "record.json", *records_directory(system).glob("runs/*/record.json")):
        if old.exists() and (old.parent == notebook.parent or digest(notebook) in old.read_text(encoding="utf-8")):
            raise refused(f"it already has a record: {old}", "nothing; a record is written only once.")
    folder = new_directory(system, report["runbook"])
    marker = begin(folder, Request(report["runbook"], given), "sealed")
    publish(folder / f"{report['runbook']}.ipynb", content)
    write_report(folder, report | {"folder": str(folder), "attested": False})
    ids = [{"id": cell.get("id", str(n)), "step": title, "count": cell["execution_count"]} for n, cell, title in ran]
    ended = {"exit": report["exit"], "cells": [{**row, "status": "completed"} for row in ids]}
    finish(folder, marker, status="finished", why="run by hand in Jupyter; unsupervised", **ended)
    return folder


def _fault(cells: Sequence[Mapping[str, Any]]) -> str:
    """Why these code cells are not a complete run in order without errors; "" if they are."""
    counts = [cell.get("execution_count") for cell in cells]
    failed = [o.get("ename") for cell in cells for o in cell.get("outputs", []) if o.get("output_type") == "error"]
    if None in counts:
        return f"{counts.count(None)} of {len(counts)} code cells did not run"
    if failed:
        return f"a cell failed: {failed[0]}"
    return "" if counts == sorted(set(counts)) else f"its cells did not run in order: {counts}"


def _shown_report(cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report that a cell shows; None if it lacks what a record needs."""
    from runbook.model.report import MIME

    data = next((o["data"][MIME] for o in cell.get("outputs", []) if MIME in o.get("data", {})), None)
    keys = ("runbook", "environment")
    good = is_report(data) and all(re.fullmatch(r"[A-Za-z][\w-]*", str(data.get(key, ""))) for key in keys)
    return data if good else None
