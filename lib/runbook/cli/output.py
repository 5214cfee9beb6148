"""What a person at a terminal, or whoever reads a schedule's log, wants to know about a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from runbook.runner.execute import RunResult


def print_result(ended: RunResult) -> None:
    """What a person at a terminal, or whoever reads a schedule's log, wants to know about a run."""
    from runbook.display.text import text_table, visible
    from runbook.records.record import read_report

    report = read_report(ended.folder)
    if report and ended.record["status"] == "finished":
        names = ("verdict", "check", "subject", "value", "limit")
        rows = [{name: found[name] for name in names} for found in report["findings"]]
        click.echo(f"{report['target'].upper()}  {report['project']}  {report['at']}  {report['world']}".rstrip())
        click.echo(f"\n{text_table(rows)}\n\n{visible(report['sentence'])}")
        for step in (*_todo(report["findings"]), *report["next"]):
            click.echo(visible(f"Next: {step}"))
    for line in ended.error:
        click.echo(visible(line), err=True)
    click.echo(f"Record: {ended.folder / ended.record['runbook']}.ipynb")


def _todo(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the findings say to do, each thing once, for whom."""
    subjects: dict[str, list[str]] = {}
    for found in findings:
        if found["next"]:
            subjects.setdefault(found["next"], []).append(found["subject"])
    for step, names in subjects.items():
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        yield f"{', '.join(names[:2])}{more}: {step}"
