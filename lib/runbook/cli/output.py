"""What commands print and write: the summary of a run, and new files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.model.errors import BadInput

if TYPE_CHECKING:
    from runbook.runner.execute import RunResult


def require_new(path: Path) -> None:
    """Raise BadInput unless `path` is free and its directory exists."""
    if path.exists() or not path.parent.is_dir():
        raise BadInput(f"{path} exists already, or its directory does not", next="name another file with --out.")


def print_result(ended: RunResult) -> None:
    """Print the findings, the verdict, the next steps, the error if any, and where the record is."""
    from runbook.display.text import text_table, visible
    from runbook.records.record import read_report

    report = read_report(ended.folder)
    if report and ended.record["status"] == "finished":
        names = ("verdict", "check", "subject", "value", "limit")
        rows = [{name: found[name] for name in names} for found in report["findings"]]
        click.echo(f"{report['target'].upper()}  {report['project']}  {report['at']}  {report['world']}".rstrip())
        click.echo(f"\n{text_table(rows)}\n\n{visible(report['sentence'])}")
        for step in (*_finding_steps(report["findings"]), *report["next"]):
            click.echo(visible(f"Next: {step}"))
    for line in ended.error:
        click.echo(visible(line), err=True)
    click.echo(f"Record: {ended.folder / ended.record['runbook']}.ipynb")


def _finding_steps(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The next steps of the findings: each step once, with its subjects."""
    subjects: dict[str, list[str]] = {}
    for found in findings:
        if found["next"]:
            subjects.setdefault(found["next"], []).append(found["subject"])
    for step, names in subjects.items():
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        yield f"{', '.join(names[:2])}{more}: {step}"
