"""The commands below `runbook records`: without one, records are listed and searched."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from difflib import unified_diff
from functools import partial
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

import click

from runbook.cli.complete import complete
from runbook.cli.output import JSON, free_folder, print_findings, require_new, table_text, wants_json, wrapped
from runbook.cli.proof import attest, env_of, verify
from runbook.cli.signing import SYSTEM, confirm, signs
from runbook.data_file import table
from runbook.display.text import visible
from runbook.model import BadInput, Exit, Refused

_RECORD = click.argument("record", shell_complete=complete("record"))
_WORDS = {n: n for n in ("runbook", "verdict", "incident", "person")} | {"cause": "causes", "text": "any field"}
_ENVS = click.option("--env", "envs", multiple=True, envvar="RUNBOOK_ENV", help="A name, or a pattern like 'prod-*'.")
_SEARCH = [click.Option([f"--{name}"], default="", help=f"Only records with this {name}.") for name in _WORDS]


@click.group(invoke_without_command=True, params=_SEARCH, commands=[verify, attest])
@_ENVS
@click.option("--since", default="", help="From this time on: 7d or 12h ago, or 2026-03-10T09:00 (team's time zone).")
@click.option("--until", default="", help="Before this time.")
@click.option("--limit", type=click.IntRange(1), help="The most records to list; 30 without --since.")
@click.option("--not-ok", is_flag=True, help="Count which checks were not ok, in how many runs, and why.")
@JSON
@click.pass_context
def records(ctx: click.Context, envs: Any, limit: int | None, not_ok: bool, **asked: str) -> None:
    """List, search, verify and export the records of runs.

    Which checks were not ok last week, and why?  runbook records --since 7d --not-ok
    """
    if ctx.invoked_subcommand:
        ctx.meta["json"] = False  # like the other options here, it is of the list
        return
    from runbook.audit import index

    words = {field: asked[name] for name, field in _WORDS.items() if asked[name]}
    most, rows, gone = limit or (None if asked["since"] else 30), list[Any](), list[Any]()
    daily = not_ok and asked["runbook"] in index.DAILY and not words.keys() - {"runbook"}
    index.require_possible(words, systems := _systems(envs))
    for system in systems:
        times = [index.since_of(asked[name], system, name) for name in ("since", "until")]
        rows += islice(index.search(system, *times, words), most and most + 1)
        gone += index.missing(system, *times) if daily else []
    rows, found = sorted(rows, key=lambda row: row["at"], reverse=True)[:most], len(rows)
    shown = index.not_ok(rows) + gone if not_ok else rows
    code = _searched(systems)
    if wants_json():
        click.echo(table_text(shown))
        sys.exit(code)
    lines = [row if not_ok else index.short(row) for row in shown]
    lines = [{k: v for k, v in row.items() if k != "environment" or len(systems) > 1} for row in lines]
    nothing = f"Nothing was found in {', '.join(str(index.store_of(system)) for system in systems)}."
    click.echo(table_text(lines) or nothing)
    counted = "the newest {} records (more: --limit or --since)" if found > len(rows) else "{} records"
    wrong = sum(row["verdict"] == "unverified" for row in rows)
    unproved = f", {wrong} of which do not verify: runbook records verify --all" * bool(wrong)
    click.echo(counted.format(len(rows)) + unproved)
    sys.exit(code)


def _systems(environments: Sequence[str]) -> list[Any]:
    """The settings of the environments that match. Raises what `load_settings` raises."""
    from runbook.config import load

    names = [name for one in environments or ["sandbox"] for name in load.matching([one]) or [one]]
    return [load.load_settings(name) for name in dict.fromkeys(names)]


def _searched(systems: Sequence[Any]) -> Exit:
    """Say on stderr where environments without any record were searched; without any of any, that is no all-clear."""
    from runbook.audit.index import names_in, store_of
    from runbook.cloud.target import target

    empty = [system for system in systems if not names_in(store_of(system))]
    for system in empty:
        about = {"name": system.environment, "store": store_of(system), "target": target(system.environment)}
        click.echo(table(__file__, "texts.yaml")["no_record"].format(**about), err=True)
    return Exit.UNKNOWN if len(empty) == len(systems) else Exit.OK


def _found(record: str, system: Any) -> tuple[Any, dict[str, Any]]:
    """The run of a record, and its row. Raises BadInput."""
    from runbook.audit.index import find_record, read_run, row_of
    from runbook.records.record import store_of

    store = store_of(system)
    run = read_run(store, find_record(store, record))
    return run, row_of(run, system)


@records.command()
@_RECORD
@SYSTEM
def show(record: str, system: Any) -> None:
    """Show what a run reported and changed. RECORD: its name, the last 8 characters of it, or "newest"."""
    from runbook.audit.index import changes_of
    from runbook.records.files import listed

    run, row = _found(record, system)
    click.echo(f"{row['runbook']}, {row['environment']}, {row['at'][:16]} UTC, {row['person']}")
    for fault in run.faults:
        click.secho(f"Does not verify: {visible(fault)}", fg="red", bold=True)
    said, steps = ([*map(str, listed(run.report.get(name)))] for name in ("answer", "next"))
    print_findings(run.findings, row["headline"], steps, "\n".join(map(wrapped, said)), bool(run.report.get("outcome")))
    changes, by = changes_of(run)
    for rows in filter(None, (changes if not said else [], by)):
        click.echo(f"\n{table_text(rows)}")
    click.echo(f"\nRecord: {run.name}\nNext: runbook records open{env_of(system)} {run.name[-8:]}")


@records.command("open")
@_RECORD
@SYSTEM
def open_record(record: str, system: Any) -> None:
    """Write a record as an HTML page, and print its path.

    If there is a terminal, the page opens in the browser.
    """
    from runbook.audit.pages import record_page
    from runbook.records import publish, records_directory, writable

    run, row = _found(record, system)
    folder = writable(records_directory(system) / "pages")
    publish(path := folder / f"{run.name}.html", record_page(run, row).encode())
    click.echo(f"Page: {path}")
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if sys.stdout.isatty() and opener:  # without a browser, it says so in many lines; the path is enough
        null = subprocess.DEVNULL
        subprocess.Popen([opener, path], stdin=null, stdout=null, stderr=null)


@records.command()
@click.argument("old", shell_complete=complete("record"))
@click.argument("new", shell_complete=complete("record"))
@SYSTEM
def diff(old: str, new: str, system: Any) -> None:
    """Show which findings and facts differ between two records."""
    from runbook.audit.pages import record_text

    texts = (record_text(_found(name, system)[0]) for name in (old, new))
    changed = (line for line in [*unified_diff(*texts, n=0, lineterm="")][2:] if line[0] in "+-")
    click.echo("\n".join(map(visible, changed)) or "Nothing differs.")


@records.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@_ENVS
@click.option("--again", is_flag=True, help="Write every page again, not only those of new records.")
def site(out: Path, envs: tuple[str, ...], again: bool) -> None:
    """Write a static site of the records.

    Each record gets a page. The index has a search, a calendar and trends. Run it again after new runs.
    """
    from runbook.audit.site import site as write

    new, known = write(systems := _systems(envs), out, again)
    click.echo(f"{new} new pages, {known} records: {out / 'index.html'}")
    sys.exit(_searched(systems))


@records.command()
@click.argument("what", metavar="RECORD|INCIDENT", shell_complete=complete("what"))
@SYSTEM
@click.option("--out", type=click.Path(path_type=Path), help="The file; the default is <name>.zip here.")
@partial(signs, who=click.option("--as", "who", default="", help="Seal it: your name among those who may attest."))
def export(what: str, system: Any, out: Path | None, yes: bool, who: str, key: Path | None) -> None:
    """Write a zip that anyone can verify.

    It contains one record, or all records of an incident. With --as, your SSH key signs the digests of all its files.
    Without it, nobody vouches for its pages and notes.
    """
    from runbook.approvals.signed import identity
    from runbook.audit.export import export as write
    from runbook.cloud.target import target

    require_new(path := out or Path(f"{what}.zip"))
    if key and not who:
        raise BadInput("--key without --as", next="add --as NAME, to seal the export as one of those who may attest.")
    if who:
        who, key = identity(system, target(system.environment), "security", who, key)
        confirm(yes, f"Seal the export of {what} on {system.environment} as {who}?")
    digest, names = write(system, what, path, who, key)
    click.echo(f"Exported {len(names)} records: {path}{f', sealed by {who}' * bool(who)}\nSHA-256: {digest}")
    about = {"file": quote(str(path)), "folder": quote(str(free_folder(path)))}
    click.echo(table(__file__, "texts.yaml")["exported" if who else "not_sealed"].format(**about))


@records.command()
@SYSTEM
@click.option("--older-than", "days", type=click.IntRange(30), required=True, metavar="DAYS", help="At least 30.")
@click.option("--yes", is_flag=True, help="Delete what is shown; without it, nothing is deleted.")
def prune(system: Any, days: int, yes: bool) -> None:
    """List older records, and delete them with --yes.

    Records of incidents and changes are kept for at least three years.
    """
    from runbook.audit.prune import old_records, remove

    old, kept = old_records(system, days)
    lines = (f"Kept, {count}: {why}" for why, count in kept.items())
    click.echo("\n".join([*old, f"{len(old)} records may be deleted.", *lines]))
    if old and yes:
        remove(system, old)
    said = table(__file__, "texts.yaml")["pruned" if yes else "not_pruned"]
    click.echo(said.format(count=len(old), days=days, env=env_of(system)) if old else "Nothing was deleted.")


@records.command()
@SYSTEM
def push(system: Any) -> None:
    """Send records that could not be sent when their runs ended."""
    from runbook.records.record import publish_run, store_of, unpublished

    reasons, (folders, others) = [], unpublished(system)
    for folder in folders:
        reasons.append(publish_run(system, folder))
        click.echo(f"{folder.name}: {reasons[-1] or 'sent'}")
    if any(reasons):
        raise Refused("not all records were sent", next="fix what is reported, then push again.")
    about = {"store": store_of(system), "count": len(others), "folder": others and others[0].parent}
    click.echo(table(__file__, "texts.yaml")["not_pushed" if others else "pushed"].format(**about))
