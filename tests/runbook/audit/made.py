"""Records made in numbers: complete, in the store, with an executed notebook, and with days that went wrong or are missing."""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.request import Request
from runbook.model.errors import Exit
from runbook.model.findings import Verdict
from runbook.model.report import MIME
from runbook.records import record
from runbook.records.record import begin, finish, read_report
from runbook.records.store import Store

NOW = datetime.now(UTC).replace(microsecond=0)
WRONG = {  # check → subject, verdict, value
    "errors": ("last 24 h", "alert", "30"),
    "data freshness": ("gmail_messages", "alert", "20.5 h"),
    "function now": (
        "gmail-sync",
        "alert",
        "20 failed; P2: gmail_messages: its newest row is 20 h old, the limit is 6 h (gmail-sync)",
    ),
    "scheduler": (
        "scheduler jobs",
        "unknown",
        "could not read: 403 The principal lacks IAM permission cloudscheduler.jobs.list",
    ),
    "account scores": ("account_recommendations", "warn", "2026-03-10 (yesterday)"),
    "cause": ("account-scoring", "alert", "memory limit (sure)"),
}


@cache
def committed(runbook: str) -> tuple[bytes, dict[str, Any]]:
    """A committed notebook, and the report that it shows."""
    raw = (RUNBOOKS / f"{runbook}.ipynb").read_bytes()
    outputs = [o for c in json.loads(raw)["cells"] for o in c.get("outputs", [])]
    return raw, next(o["data"][MIME] for o in outputs if MIME in o.get("data", {}))


def made(
    at: datetime,
    runbook: str = "daily_check",
    wrong: tuple[str, ...] = (),
    status: str = "finished",
    text: str = "",
    change: bool = False,
    **given: str,
) -> str:
    """Write a record that began at a time, with these checks wrong; return its name.

    Each part of it has the `text`; with `change` it says that something was applied.
    """
    system = load_settings("sandbox")
    raw, report = committed(runbook)
    found = [dict(one) for one in report["findings"]]
    for check in wrong:
        subject, verdict, value = WRONG[check]
        subject, value = subject + text, value + text
        limit = next((one["limit"] for one in found if one["check"] == check), "")
        found = [one for one in found if (one["check"], one["subject"]) != (check, subject)]
        found.append(
            {"check": check, "subject": subject, "value": value, "limit": limit, "verdict": verdict, "next": "look"}
        )
    worst = max((Verdict[one["verdict"]] for one in found), default=Verdict.ok)
    said = (
        f"{worst.name.upper()}: {len(wrong)} of {len(found)} findings {'is' if len(wrong) == 1 else 'are'} not ok."
        if wrong
        else "OK: all checks passed."
    )
    report = report | {"findings": found, "verdict": worst.name, "exit": int(worst.exit), "at": f"{at:%FT%T}+00:00"}
    report |= {"headline": said, "sentence": said, "answer": []}
    report |= {"next": [f"investigate what is not ok: {len(wrong)} (below)."]} if wrong else {}
    name = f"{at:%Y%m%dT%H%M%SZ}-{runbook}-{random.Random(f'{at}{runbook}').randrange(2**32):08x}"
    folder = record.records_directory(system) / "runs" / name
    folder.mkdir(parents=True)
    (folder / f"{runbook}.ipynb").write_bytes(_with(raw, text))
    report |= {"outcome": {"result": "applied", "plan": "0" * 64}} if change else {}
    rows = [{"kind": "START", "runbook": runbook, "parameters": given}, {"kind": "CLOSE", "verdict": worst.name}]
    (folder / "journal.jsonl").write_text(
        "".join(json.dumps({"time": f"{at:%FT%T}.000+00:00", **row}) + "\n" for row in rows)
    )
    _write(folder, runbook, at, given, report if status == "finished" else None, status)
    return name


def _write(
    folder: Path, runbook: str, at: datetime, given: dict[str, str], report: Any, status: str = "finished", **seen: str
) -> None:
    """What a runner writes of a run with this report, which began and ended at a time."""
    why = "all cells ran" if status == "finished" else "the kernel died"
    with patch.object(record, "here", _here), patch.object(record, "now", lambda: f"{at:%FT%T}.000+00:00"):
        marker = begin(folder, Request(runbook, {"environment": "sandbox", **given}))
        if status != "running":
            exit = report["exit"] if report else int(Exit.KERNEL_DIED)
            finish(folder, marker, report, NoSecrets(), status=status, why=why, exit=exit, cells=[], **seen)  # type: ignore[arg-type]


class NoSecrets:
    """In place of a Scan: nothing here is a secret, and a scan of 300 notebooks takes half a minute."""

    def data(self, data: Any) -> Any:
        return data

    def file(self, content: bytes) -> bytes:
        return content


def _with(raw: bytes, text: str) -> bytes:
    """A notebook that shows this text in every way that it can."""
    if not text:
        return raw
    notebook = json.loads(raw)
    shown = {"text/html": text, "text/plain": text, "application/javascript": text, "text/markdown": text}
    outputs = [{"output_type": "display_data", "data": {kind: text}, "metadata": {}} for kind in shown]
    outputs += [{"output_type": "stream", "name": "stdout", "text": text}]
    outputs += [{"output_type": "error", "ename": text, "evalue": text, "traceback": [text]}]
    code = {"cell_type": "code", "id": "bad", "metadata": {}, "source": text, "outputs": outputs, "execution_count": 99}
    notebook["cells"] += [{"cell_type": "markdown", "id": "worse", "metadata": {}, "source": text}, code]
    return json.dumps(notebook).encode()


def changed(result: Any, at: datetime, compares: str = "", **given: str) -> str:
    """Write the record of a run that applied a plan in this process, whose folder has no record.json yet; return its name."""
    folder = result.names["run"].folder
    runbook = result.names["run"].request.runbook
    (folder / f"{runbook}.ipynb").write_bytes(committed(runbook)[0])
    _write(folder, runbook, at, given, read_report(folder), **({"compares": compares} if compares else {}))
    return folder.name


def rewritten(store: Store, name: str) -> None:
    """Somebody who may write to the store makes a record better than it was."""
    path = Path(str(store)) / "runs" / name / "report.json"
    path.write_bytes(path.read_bytes().replace(b"all checks passed", b"nothing to see"))


@cache
def _here() -> dict[str, Any]:
    from runbook.records.provenance import here

    return here()


def many(count: int, days: int = 100, seed: int = 1) -> list[str]:
    """Write this many records of daily checks and P1 pages over some days until now; a few days have none."""
    chance, names = random.Random(seed), []
    for number in range(count):
        at = NOW - timedelta(days=days * (1 - (number + 1) / count), hours=1)
        if at.day in (9, 10, 23, 24):  # the scheduler stopped
            at -= timedelta(days=2, seconds=number)
        wrong = tuple(check for check in WRONG if check != "cause" and chance.random() < 0.04)
        p1 = chance.random() < 0.03
        given = {"incident": f"INC-{number // 60 + 1}"} if p1 else {}
        names.append(made(at, "p1_response" if p1 else "daily_check", ("cause",) if p1 else wrong, **given))
    return names


if __name__ == "__main__":  # to look at: RUNBOOK_RECORDS=/tmp/x python -m tests.runbook.audit.made 300
    many(int(sys.argv[1]))
