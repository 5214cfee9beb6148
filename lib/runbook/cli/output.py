"""What commands print, write and ask for: the summary of a run, new files, and a secret's new value."""

import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import click

from runbook.display.text import Row, show, visible
from runbook.model import BadInput, Refused, Verdict

_FLAG: Any = {"is_flag": True, "expose_value": False, "help": "Print one line of JSON."}
JSON = click.option("--json", **_FLAG, callback=lambda c, _, on: c.meta.update(json=on))
COLOUR = {"alert": "red", "unknown": "cyan", "warn": "yellow", "ok": "green"}


class _Stream(FileIO):
    """A standard stream that drops what cannot be written; `lost` says why."""

    lost = ""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error.strerror or str(error)
            return memoryview(data).nbytes


@contextmanager
def output_may_fail() -> Iterator[None]:
    """Output that cannot be written inside changes neither the work nor the exit code; stderr has one line about it."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:  # no other file may get the number of a closed one
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    out, err = _Stream(1, "w", closefd=False), _Stream(2, "w", closefd=False)
    for name, raw in (("stdout", out), ("stderr", err)):
        known = getattr(getattr(sys, name), "encoding", None)
        setattr(sys, name, TextIOWrapper(BufferedWriter(raw), known, "backslashreplace", line_buffering=True))
    try:
        yield
    finally:
        sys.stdout.flush()
        said = f"the output could not be written: {out.lost}. The exit code is still that of the result.\n"
        click.echo(said * bool(out.lost), err=True, nl=False)


def require_new(path: Path) -> None:
    """Raise BadInput unless `path` is free and its directory exists."""
    try:
        taken, home = path.exists(), path.parent.is_dir()
    except OSError as error:
        raise BadInput(f"--out {path.name[:40]}…", error.strerror or str(error), next="use a shorter name.") from None
    if taken:
        raise BadInput(f"{path} exists already", next="move it away, or name another file with --out.")
    if not home:
        raise BadInput(f"there is no directory {path.parent}", next="make it, or name another file with --out.")


def free_folder(path: Path) -> Path:
    """A folder that does not exist yet, named after an archive: what two archives have must not be mixed."""
    names = (path.with_name(path.stem + (f"-{number}" if number > 1 else "")) for number in count(1))
    return next(name for name in names if not name.exists())


def wants_json() -> bool:
    """Whether the command that is running has got `--json`: then stdout has nothing but one line of JSON."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("json"))


def aside(line: str, err: bool = False) -> None:
    """Print what is not the result itself, in visible characters; with `--json`, on stderr.

    Whatever a command says about files of the store goes through this, a table or `screen`: they may be anybody's.
    """
    click.echo(visible(line), err=err or wants_json())


def exit_with(ended: Any) -> NoReturn:
    """Print a `RunResult`: the findings, the verdict, the next steps, errors, and the record. Exit with its code.

    Where there is no terminal, its last line is for Cloud Logging; with `--json`, that line is all.
    """
    from runbook.records.record import read_report
    from runbook.runner.alerts import log_line

    if wants_json():
        click.echo(log_line(ended, whole=True))
        sys.exit(ended.exit)
    if (report := read_report(ended.folder)) and ended.record["status"] == "finished":
        head = f"{report['target'].upper()}, {report['project']}, {report['at'][:16]} UTC"
        click.echo(wrapped(f"{head}. World: {report['world'].rstrip('.')}" if report["world"] else head))
        lines = [line for line in report["answer"] if not line.startswith("   next: ")]  # below, as it can be copied
        shown = "\n".join(map(wrapped, lines))
        print_findings(report["findings"], report["headline"], report["next"], shown, "outcome" in report)
    for line in ended.error:
        click.echo(visible(line), err=True)
    if ended.local:
        click.echo(f"The record is only on this machine: {visible(ended.local)}. Next: runbook records push", err=True)
    click.echo(f"Record: {ended.folder / ended.record['runbook']}.ipynb")
    if not sys.stdout.isatty():
        click.echo(log_line(ended))
    sys.exit(ended.exit)


def print_findings(
    findings: Sequence[Row], sentence: str, next: Sequence[str] = (), shown: str = "", whole: bool = False
) -> None:
    """Print a sentence, what is `shown`, and the next steps, each once.

    With `whole`, or if nothing is shown, also the findings that are not ok, the worst first, and which checks are ok.
    """
    worst = max((Verdict[one["verdict"]] for one in findings), default=Verdict.unknown)
    if wants_json():
        click.echo(json.dumps({"verdict": worst.name, "findings": list(findings), "next": list(next)}))
        return
    click.echo("\n" + click.style(wrapped(sentence), fg=COLOUR[worst.name], bold=True))
    good = Counter(one["check"] for one in findings if one["verdict"] == "ok")
    named = ", ".join(f"{check} ({count})" if count > 1 else check for check, count in good.items())
    parts = [shown]
    if whole or not shown:
        parts += [findings_table([one for one in findings if one["verdict"] != "ok"])]
        parts += [wrapped(f"ok: {named}" * bool(named))]
    click.echo("\n\n".join(filter(None, parts)))
    subjects: dict[str, list[str]] = {}
    for found in (one for one in findings if one["next"] and one["next"] not in next):
        subjects.setdefault(found["next"], []).append(found["subject"])
    more = {step: f" and {len(names) - 2} more" if len(names) > 2 else "" for step, names in subjects.items()}
    steps = (f"{', '.join(names[:2])}{more[step]}: {step}" for step, names in subjects.items())
    for step in (*steps, *next):
        click.echo(visible(f"Next: {step}"))


def findings_table(findings: Sequence[Row]) -> str:
    """Findings as a table, the worst first."""
    worst = sorted(findings, key=lambda one: -Verdict[one["verdict"]])
    said = "{check}, {subject}: {value} (expected: {limit})"
    return table_text([{"verdict": one["verdict"], "finding": said.format(**one)} for one in worst])


def wrapped(text: str) -> str:
    """Text in lines that fit the terminal; a line that a program reads stays whole."""
    lines = visible(text).splitlines()
    return "\n".join(textwrap.fill(line, _width(), break_on_hyphens=False, subsequent_indent="  ") for line in lines)


def _width() -> int:
    """The columns of the terminal, or COLUMNS; without a terminal, enough for any line."""
    known = shutil.get_terminal_size((0, 0)).columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else 0
    return max(known, 40) if known else 100_000


def table_text(rows: Sequence[Row]) -> str:
    """Rows as a table that fits the terminal; "" for no rows. A verdict has its colour.

    click removes the colours where there is no terminal, and rich makes none with NO_COLOR.
    """
    if wants_json():
        return json.dumps(list(rows), default=str)
    if not rows:
        return ""
    from rich.box import SIMPLE_HEAD  # which takes longer to import than to use
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    for number, name in enumerate(rows[0]):
        table.add_column(visible(str(name)).replace("_", " "), no_wrap=number == 0, overflow="fold")
    for row in rows:
        cells = {name: " ".join(show(row.get(name)).split()) for name in rows[0]}
        table.add_row(*(Text(cell, style=COLOUR.get(cell, "") * (name == "verdict")) for name, cell in cells.items()))
    screen = Console(width=_width(), force_terminal=True, highlight=False)
    with screen.capture() as shown:
        screen.print(table)
    return "\n".join(line.rstrip() for line in shown.get().rstrip().splitlines())


def ask_secret(file: Path | None, variable: str | None, stdin: bool, name: str = "") -> bytes:
    """The value of a new version of the secret `name`, from the given source, else from a hidden prompt.

    Raises BadInput, Refused.
    """
    from runbook.apply.secret_value import one_line_value
    from runbook.data_file import text_of

    if sum((file is not None, variable is not None, stdin)) > 1:
        raise BadInput("the value can have only one source", next="use only one of the --secret options.")
    if file is not None:
        try:
            return one_line_value(file.read_bytes())
        except OSError as error:
            raise BadInput(**text_of(__file__, "no_secret_file", file=file, why=error.strerror or "")) from None
    if variable is not None and variable not in os.environ:
        raise BadInput(f"there is no environment variable {variable}", next="export it, or use --secret-file.")
    if variable is not None:
        return os.environ[variable].encode()
    if stdin:
        return one_line_value(sys.stdin.buffer.read())
    if not sys.stdin.isatty():
        raise Refused(**text_of(__file__, "no_terminal"))
    return click.prompt(f"The new value of {name} (hidden)", hide_input=True, confirmation_prompt=True).encode()
