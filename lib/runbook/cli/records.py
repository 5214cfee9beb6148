"""The commands below `runbook records`: without one, records are listed and searched."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click

from runbook.cli.output import print_findings, require_new, table_text, wrapped
from runbook.cli.signing import SYSTEM
from runbook.display.text import visible
from runbook.model.errors import Refused

_WORDS = ("runbook", "verdict", "cause", "incident", "person", "text")
_RECORD = click.argument("record")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that search: one for each field, and the time."""
    for name in reversed(_WORDS):
        command = click.option(f"--{name}", default="", help=f"Only records with this {name}.")(command)
    return command


@click.group(invoke_without_command=True)
@SYSTEM
@_options
@click.option("--since", default="", help="From this time on: 7d, 12h, or 2026-03-10T09:00 in the team's time.")
@click.option("--until", default="", help="Before this time.")
@click.option("--limit", type=click.IntRange(1), help="At most so many; without --since the default is 30.")
@click.option("--not-ok", is_flag=True, help="Which checks were not ok, how often, and why.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def records(ctx: click.Context, system: Any, since: str, until: str, limit: int | None, **asked: Any) -> None:
    """List and search the records of runs; see the commands below for what can be done with one.

    Which checks were not ok last week, and why:  runbook records --since 7d --not-ok
    """
    if ctx.invoked_subcommand:
        return
    from runbook.audit.index import not_ok, search, since_of

    times = (since_of(text, system, name) for name, text in (("since", since), ("until", until)))
    words = {name.replace("cause", "causes"): asked[name] for name in _WORDS if asked[name]}
    words = {("*" if name == "text" else name): word for name, word in words.items()}
    rows = list(islice(search(system, *times, words), limit or (None if since else 30)))
    shown = not_ok(rows) if asked["not_ok"] else rows
    if asked["as_json"]:
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
        return
    table = (
        [_short(row) for row in shown]
        if not asked["not_ok"]
        else [one | {"record": one["record"][-8:]} for one in shown]
    )
    click.echo(table_text(table) or "No record matches." if rows else "No record matches.")
    wrong = sum(row["verdict"] == "unverified" for row in rows)
    click.echo(f"{len(rows)} records" + f", {wrong} of which do not verify: runbook records verify" * bool(wrong))


def _short(row: dict[str, Any]) -> dict[str, Any]:
    said = "; ".join(row["causes"]) or (
        row["answer"][0] if row["verdict"] != "ok" and row["answer"] else row["headline"]
    )
    about = f"{row['incident']}: {said}" if row["incident"] else said
    return {
        "began (UTC)": row["at"][:16],
        "verdict": row["verdict"],
        "runbook": row["runbook"],
        "by": row["person"],
    } | {"answer": about, "record": row["id"][-8:]}


@records.command()
@_RECORD
@SYSTEM
def show(record: str, system: Any) -> None:
    """Show the answer of a record; RECORD is its name, its last 8 characters, or "newest"."""
    run, row, store = _found(record, system)
    click.echo(
        f"{row['runbook']}, {row['environment']}, began {row['at'][:16]} UTC, by {row['person'] or 'not recorded'}"
    )
    for fault in run.faults:
        click.echo(click.style(f"Does not verify: {visible(fault)}", fg="red", bold=True))
    lines = "\n".join(map(wrapped, row["answer"])) if run.report.get("answer") else ""
    print_findings(run.findings, row["headline"] or "No verdict: this run has not finished.", _steps(run), lines)
    click.echo(f"Record: {store}/runs/{run.name}")
    click.echo(f"Next: runbook records open {run.name[-8:]}")


def _steps(run: Any) -> list[str]:
    steps = run.report.get("next")
    return [str(step) for step in steps] if isinstance(steps, list) else []


def _found(record: str, system: Any) -> tuple[Any, dict[str, Any], Any]:
    """The run of a record, its row, and its store. Raises BadInput."""
    from runbook.audit.index import find_record, read_run, row_of
    from runbook.records.record import store_of

    store = store_of(system)
    run = read_run(store, find_record(store, record))
    return run, row_of(run, system), store


@records.command("open")
@_RECORD
@SYSTEM
def open_record(record: str, system: Any) -> None:
    """Write the page of a record, print its path, and open it where there is a browser."""
    from runbook.audit.pages import record_page
    from runbook.records.files import probe, publish
    from runbook.records.record import records_directory

    run, row, store = _found(record, system)
    folder = records_directory(system) / "pages"
    probe(folder)
    path = folder / f"{run.name}.html"
    publish(path, record_page(store, run, row).encode())
    click.echo(f"Page: {path}")
    if click.get_text_stream("stdout").isatty():
        click.launch(str(path))


@records.command()
@click.argument("old")
@click.argument("new")
@SYSTEM
def diff(old: str, new: str, system: Any) -> None:
    """Say which findings and which facts differ between two records."""
    from runbook.audit.index import differences

    (first, _, store), (second, _, _) = _found(old, system), _found(new, system)
    findings, facts = differences(store, first, second)
    click.echo(table_text(findings) or "No finding differs.")
    click.echo("\n".join(map(visible, facts)) or "No fact differs.")


@records.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--env", "environments", multiple=True, envvar="RUNBOOK_ENV", help="One or more; * stands for any name.")
@click.option("--again", is_flag=True, help="Make every page again, not only those of new records.")
def site(out: Path, environments: tuple[str, ...], again: bool) -> None:
    """Write a static site of the records: a page each, and one index with search, calendar and trends."""
    from fnmatch import fnmatch

    from runbook.audit.site import site as write
    from runbook.config.load import environments as known
    from runbook.config.load import load_settings

    wanted = environments or ("sandbox",)
    names = [name for one in wanted for name in ([n for n in known() if fnmatch(n, one)] or [one])]
    new, all_of_them = write([load_settings(name) for name in dict.fromkeys(names)], out, again)
    click.echo(f"{new} new pages, {all_of_them} records: {out / 'index.html'}")


@records.command()
@click.argument("what", metavar="RECORD|INCIDENT")
@SYSTEM
@click.option("--out", type=click.Path(path_type=Path), help="The file; the default is <name>.zip here.")
def export(what: str, system: Any, out: Path | None) -> None:
    """Write one zip with a record, or all of an incident, and what it takes to verify it elsewhere."""
    from runbook.audit.export import export as write

    path = out or Path(f"{what}.zip")
    require_new(path)
    digest, names = write(system, what, path)
    click.echo(f"Exported {len(names)} records: {path}\nSHA-256: {digest}\nNext: unzip it, then python3 verify.py")


@records.command()
@SYSTEM
@click.option("--older-than", "days", type=click.IntRange(30), required=True, metavar="DAYS", help="At least 30.")
@click.option("--yes", is_flag=True, help="Delete what is shown; without it, nothing is deleted.")
def prune(system: Any, days: int, yes: bool) -> None:
    """Show which records are older, and with --yes delete them; those of incidents and changes are kept for years."""
    from runbook.audit.prune import old_records, remove

    old, kept = old_records(system, days)
    click.echo("\n".join(old) or "No record may be deleted.")
    click.echo(
        f"{len(old)} of {len(old) + sum(kept.values())} older records may be deleted; kept: {visible(str(kept))}"
    )
    if old and yes:
        click.echo(f"Deleted {remove(system, old)} records; noted in the store.")
    elif old:
        click.echo(
            f"Nothing was deleted. Next: runbook records prune --env {system.environment} --older-than {days} --yes"
        )


@records.command()
@SYSTEM
def push(system: Any) -> None:
    """Send the records that could not be sent to the record store when their runs ended."""
    from runbook.records.publish import publish_run, unpublished

    reasons = []
    for folder in unpublished(system):
        reasons.append(publish_run(system, folder))
        click.echo(f"{folder.name}: {reasons[-1] or 'sent'}")
    if any(reasons):
        raise Refused("not all records were sent", next="fix what is reported, then push again.")
    click.echo("Every record of this machine is in the record store.")
