"""The command line: `runbook run`, `list`, `sandbox`, `doctor`, `seal` and `lab`.

Each command says what it did, where the record is and what to do next, and exits by `errors.Exit`. An error of ours is
printed as its four lines, never as a traceback.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.errors import BadInput, Exit, NoAnswer, RunbookError

if TYPE_CHECKING:
    from runbook.runner import Ended

_ENV = click.option("--env", "environment", envvar="RUNBOOK_ENV", help="params/<ENV>.yaml; without it: sandbox.")
_WORLD = click.option("--world", help="Sandbox only: a shipped world, or the path of a world's file.")


class _Group(click.Group):
    """Shows our errors, and those of a command line that cannot be understood, with their exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RunbookError as error:
            click.echo(error, err=True)
            sys.exit(error.exit)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Runbooks as code: check, explain, and keep the record."""


@main.command()
@click.argument("name")
@_ENV
@_WORLD
@click.option("-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the runbook.")
def run(name: str, environment: str | None, world: str | None, given: Sequence[str]) -> None:
    """Run a runbook, keep its record, and exit by its verdict."""
    values: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or key in values:
            raise BadInput(f"-p {key}", "it is given twice" if equals else "it has no =", next="write -p name=value.")
        values[key] = value
    values |= {k: v for k, v in (("environment", environment), ("world", world)) if v}
    # Imported here: every other command would pay for it.
    from runbook import runner

    ended = runner.run(name, values, runner.progress())
    _tell(ended)
    sys.exit(ended.exit)


def _tell(ended: Ended) -> None:
    """What a person at a terminal, or whoever reads a schedule's log, wants to know about a run."""
    from runbook import draw, record

    report = record.read_report(ended.folder)
    if report and ended.record["status"] == "finished":
        names = ("verdict", "check", "subject", "value", "limit")
        rows = [{name: found[name] for name in names} for found in report["findings"]]
        click.echo(f"{report['target'].upper()}  {report['project']}  {report['at']}  {report['world']}".rstrip())
        click.echo(f"\n{draw.text_table(rows)}\n\n{report['sentence']}")
        todo = [f"{f['subject']}: {f['next']}" for f in report["findings"] if f["next"]]
        for step in (*todo, *report["next"]):
            click.echo(f"Next: {step}")
    for line in ended.error:
        click.echo(line, err=True)
    click.echo(f"Record: {ended.folder / ended.record['runbook']}.ipynb")


@main.command("list")
def list_runbooks() -> None:
    """List the runbooks: what each is for, its safety class, and what it can change."""
    from runbook import draw, settings

    found = [_title(path) for path in sorted(settings.RUNBOOKS.glob("*.ipynb"))]
    click.echo(draw.text_table([{n: t[n] for n in ("runbook", "class", "changes", "when")} for t in found]))


def _title(path: Path) -> dict[str, str]:
    """What the title cell of a runbook says about it, by the lower-case names of its fields."""
    from runbook.request import load_notebook, source

    text = source(load_notebook(path)["cells"][0])
    fields = {key.lower(): value.strip() for key, value in re.findall(r"(?m)^\*\*(.+?):\*\* (.+)$", text)}
    return {"runbook": path.stem, "class": "?", "changes": "?", "when": "?"} | fields


@main.command()
@_ENV
@_WORLD
@click.option("--port", default=0, help="Without it a free one is taken.")
def sandbox(environment: str | None, world: str | None, port: int) -> None:
    """Serve the sandbox on loopback, and print what points bq, gcloud, curl and Jupyter to it."""
    import tempfile

    from runbook import settings

    system = settings.load(environment or "sandbox")
    app, serving = _app(system.inventory(), world or "healthy")
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        try:
            server = serving.serve(app, port)
        except OSError as error:
            raise NoAnswer(
                f"port {port} cannot be used", error.strerror or str(error), next="give another --port, or none."
            ) from None
        with server as served, suppress(KeyboardInterrupt):
            for key, value in serving.environment(served.url, system.project, Path(folder)).items():
                click.echo(f"export {key}={shlex.quote(value)}")
            click.echo(f"# {app.sandbox.world.about} Paste the lines above into another terminal; Ctrl-C ends it.")
            sys.stdout.flush()
            served.thread.join()


def _app(inventory: dict[str, Any], world: str) -> tuple[Any, Any]:
    from runbook.errors import UnknownName

    try:
        import gcp_sandbox
        from gcp_sandbox import serve
        from gcp_sandbox.world import BadWorld
    except ImportError as error:
        raise BadInput("the sandbox is not installed", str(error), next="pip install -e '.[sandbox]'.") from None
    try:
        return gcp_sandbox.app(inventory, world), serve
    except BadWorld as error:
        raise UnknownName("that world cannot be used", str(error), next="see lib/gcp_sandbox/world.py.") from None


@main.command()
@_ENV
@_WORLD
def doctor(environment: str | None, world: str | None) -> None:
    """Say what is missing before runbooks can work on an environment."""
    from runbook import draw
    from runbook.doctor import doctor as examine

    found = examine(environment or "sandbox", world or "")
    click.echo(draw.findings(found).text)
    sys.exit(found.worst.exit)


@main.command()
@click.argument("notebook", type=click.Path(path_type=Path))
def seal(notebook: Path) -> None:
    """Turn a saved Jupyter session into a record."""
    from runbook import record

    click.echo(f"Record: {record.seal(notebook)}")


@main.command()
@_ENV
def lab(environment: str | None) -> None:
    """Open JupyterLab on working copies of the runbooks, in the records folder."""
    from runbook.lab import working_copies

    folder = working_copies(environment or "sandbox")
    click.echo(f"Working copies: {folder}")
    try:
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"])
    except OSError as error:
        raise BadInput("JupyterLab cannot be started", str(error), next="make lab installs it.") from None


if __name__ == "__main__":
    sys.exit(main() or Exit.OK)
