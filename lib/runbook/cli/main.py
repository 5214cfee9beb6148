"""The command line: `runbook init`, `run`, `approve`, `apply`, `list`, `sandbox`, `doctor`, `seal`, `incident`, `lab`.

Each command prints what it did, where the record is and what to do next, and exits with a code of `errors.Exit`. A
RunbookError is printed as its four lines, never as a traceback.
"""

import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from runbook.cli import output, signing, stored
from runbook.cli.complete import complete
from runbook.cli.fleet import fleet
from runbook.cli.help import RunHelp
from runbook.cli.output import JSON, aside, ask_secret, exit_with, findings_table, print_findings, table_text
from runbook.cli.records import records
from runbook.cli.signing import ENV, SYSTEM
from runbook.model import BadInput, Exit, NoAnswer, RunbookError
from runbook.runner.kernel import Kernel, leave_deleted_directory

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_LINE = "Of one line of text, the line break at its end is left out."
_WORLDS = "Sandbox only: a shipped world, or the path of a world file."
_WORLD = click.option("--world", default="", shell_complete=complete("world"), help=_WORLDS)


class _Group(click.Group):
    """Prints each RunbookError, and exits with its code, also where nothing can be printed."""

    def main(self, *args: Any, **options: Any) -> Any:
        # Somebody else may have taken the output, such as a test.
        with output.output_may_fail() if sys.stdout is sys.__stdout__ else nullcontext():
            leave_deleted_directory()
            try:
                return super().main(*args, **options)
            finally:
                gc.freeze()  # the interpreter would search all modules for garbage before it exits, for 50 ms

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RunbookError as error:
            click.echo(error, err=True)
            sys.exit(error.exit)
        except click.Abort:  # Ctrl-C, or the end of the input, at a prompt
            click.echo("\nInterrupted at the prompt. Nothing was changed.", err=True)
            sys.exit(Exit.INTERRUPTED)


@click.group(cls=_Group, commands=[*signing.COMMANDS, *stored.COMMANDS, records, fleet], context_settings=_HELP)
@click.version_option(None, "--version", package_name="sales-intelligence-runbooks", prog_name="runbook")
def main() -> None:
    """Check the system, explain findings, and plan and apply changes. Each run leaves a record."""


@main.command(cls=RunHelp)
@JSON
@click.argument("name", metavar="RUNBOOK", shell_complete=complete("runbook"))
@ENV
@_WORLD
@click.option("--scheduled", is_flag=True, help="Notify `alert_contacts` in params when alerts start or end.")
@click.option("--from-alert", "alert", metavar="FILE|JSON", help="The payload of a Cloud Monitoring alert.")
@click.option("-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the runbook.")
def run(name: str, given: Sequence[str], alert: str | None, scheduled: bool, **place: str | None) -> None:
    """Run a runbook, and keep its record. The exit code depends on the verdict.

    \b
    runbook run daily_check                            # the sandbox
    runbook run daily_check --env production --scheduled
    runbook run p1_response -p incident=INC-7
    """
    values: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or key in values:
            why, hint = ("it is given twice", "give it once.") if equals else ("it has no =", "use -p name=value.")
            raise BadInput(f"-p {key}", why, next=hint)
        values[key] = value
    values |= {key: value for key, value in place.items() if value}
    if alert:
        from runbook.cli.alert import incident_of

        values = incident_of(alert, place["environment"] or "sandbox") | values
    _run(name, values, scheduled=scheduled)


def _run(name: str, values: Mapping[str, object], *told: Any, **more: Any) -> None:
    with Kernel() as kernel:  # it imports its modules while this process imports those that other commands do not need
        from runbook.context import Told
        from runbook.runner.engine import progress
        from runbook.runner.run import run

        exit_with(run(name, values, progress(), told=Told(*told, **more), early=kernel))


@main.command()
@click.argument("plan", shell_complete=complete("plan"))
@click.option("--secret-file", "file", type=_FILE, help=f"The file with the new value. {_LINE}")
@click.option("--secret-env", "variable", metavar="NAME", help="The environment variable with the new value.")
@click.option("--secret-stdin", "stdin", is_flag=True, help=f"Read the new value from standard input. {_LINE}")
@click.option("--takeover", default="", metavar="OWNER", help="Finish what this owner began; its process must be dead.")
@click.option("--abandon", default="", metavar="OWNER", help="Only check what this owner did, and close its attempt.")
def apply(plan: str, takeover: str, abandon: str, **source: Any) -> None:
    """Apply an approved plan, and verify the result.

    The runbook plans again first. If the plan has changed since it was approved, nothing is applied.

    \b
    runbook apply 3f2c91d0aa47
    runbook apply 3f2c91d0aa47 --takeover 9b1e77d0       # after its process died
    """
    from runbook.approvals.stored_plan import find
    from runbook.records import person

    if takeover and abandon:
        raise BadInput("--takeover with --abandon", next="use one of them.")
    found = find(plan, person())
    found.require_signature()
    secret = _new_value(found, source) if found.needs_secret and not abandon else None
    _run(found.content["runbook"], {**found.parameters, "approved_plan": plan}, secret, takeover, abandon)


def _new_value(found: Any, source: Mapping[str, Any]) -> bytes | None:
    """The value of the version that a plan adds; None if that version is there already, as after an interruption."""
    from runbook.apply.new_version import to_add
    from runbook.cloud.connect import connect
    from runbook.model.plan import change_of

    about = (found.content["runbook"], found.content["operation"])
    changes = [one for row in found.content["changes"] if (one := change_of(row, *about)).args.needs_secret]
    if missing := list(to_add(connect(found.system, str(found.parameters.get("world", ""))), changes)):
        return ask_secret(**source, name=missing[0].args.secret)
    unused = "; the given value is not used" if any(source.values()) else ""
    for args in (change.args for change in changes):
        aside(f"Version {args.after} of {args.secret} exists already, so no value is needed{unused}.", err=True)
    return None


@main.command("list")
@JSON
def list_runbooks() -> None:
    """List the runbooks, their safety class, and what each can change."""
    from runbook.config.load import RUNBOOKS

    click.echo(table_text([_title(path) for path in sorted(RUNBOOKS.glob("*.ipynb"))]))


@main.command()
@JSON
def worlds() -> None:
    """List the worlds of the sandbox: what happened in each."""
    from runbook.cloud.target import shipped_worlds

    click.echo(table_text([{"world": name, "about": about} for name, about in shipped_worlds()]))


def _title(path: Path) -> dict[str, str]:
    """The fields in the title cell of a runbook."""
    from runbook.config.parameters import cell_source, load_notebook

    found = re.findall(r"(?m)^\*\*(.+?):\*\* (.+)$", cell_source(load_notebook(path)["cells"][0]))
    fields = {key.lower(): value.strip() for key, value in found}
    return {"runbook": path.stem} | {name: fields.get(name, "?") for name in ("class", "changes", "when")}


@main.command()
@SYSTEM
@_WORLD
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The default is a free port.")
def sandbox(system: Any, world: str, port: int) -> None:
    """Serve the sandbox on this machine until you stop it.

    It prints the variables that point bq, gcloud, curl and Jupyter to it.

    \b
    runbook sandbox --world no_etl
    """
    from runbook.cloud.target import sandbox_app

    app = sandbox_app(system, world)
    from gcp_sandbox import serve  # after sandbox_app, which checks that it is installed

    try:
        server = serve.serve(app, port)
    except OSError as error:
        why = error.strerror or str(error)
        raise NoAnswer(f"port {port} cannot be used", why, next="use another --port, or omit it.") from None
    serve.until_stopped(server, app, click.echo)


@main.command()
@JSON
@SYSTEM
@_WORLD
@click.option("--roles", "only_roles", is_flag=True, help="Print commands that create least-privilege roles.")
def doctor(system: Any, world: str, only_roles: bool) -> None:
    """Check whether runbooks can work on an environment.

    Each problem is printed with what to do about it.

    \b
    runbook doctor
    runbook doctor --roles                              # commands that create the roles
    """
    from runbook.cli.doctor import doctor, roles

    if only_roles:
        click.echo(roles(system), nl=False)
        return
    found = doctor(system.environment, world)
    rows = found.plain()
    print_findings(rows, f"{found.worst.name.upper()}: {found.counts}.", shown=findings_table(rows))
    sys.exit(found.worst.exit)


@main.command()
@click.option("--project", required=True, help="The id of the project on Google Cloud.")
@click.option("--region", required=True, help="The region of its functions and scheduler jobs, such as us-central1.")
@click.option("--env", "environment", help="The name of the new environment; the default is the project's id.")
@click.option("--out", type=click.Path(path_type=Path), help="The file; the default is params/<ENV>.yaml.")
@_WORLD
def init(project: str, region: str, environment: str | None, out: Path | None, world: str) -> None:
    """Draft the params file of an environment from its project.

    Nothing in the project is changed.

    \b
    runbook init --project acme-prod --region us-central1 --env production
    """
    from runbook.cli.init import init

    name = environment or project
    path, source, gaps = init(out, world, project=project, region=region, environment=name)
    said = f"Next: replace each <placeholder>; then, as params/{name}.yaml: runbook doctor --env {name}"
    click.echo("\n".join([f"Draft: {path}, from {source}", *gaps, said]))
    sys.exit(Exit.UNKNOWN if gaps else Exit.OK)


@main.command()
@click.argument("notebook", type=click.Path(path_type=Path))
def seal(notebook: Path) -> None:
    """Turn a saved Jupyter session into a record."""
    from runbook.audit.seal import seal

    click.echo(f"Record: {seal(notebook)}")


@main.command()
@click.argument("name", default="daily_check")
@ENV
@_WORLD
@click.option("--incident", default="", help="INC-…: links the runs to an incident.")
def lab(name: str, environment: str | None, world: str, incident: str) -> None:
    """Open a working copy of a runbook in JupyterLab.

    The records directory gets copies of all runbooks; the committed notebooks are never changed.
    """
    from runbook.cli.lab import working_copies
    from runbook.config.request import find_runbook

    notebook = find_runbook(name).name
    folder = working_copies(environment or "sandbox", world=world, incident=incident)
    click.echo(f"Working copies: {folder}")
    options = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{notebook}"]
    options += ["--allow-root"] * (os.geteuid() == 0)
    try:
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options])
    except OSError as error:
        raise BadInput("JupyterLab cannot be started", str(error), next="install it with make lab.") from None


if __name__ == "__main__":
    sys.exit(main() or Exit.OK)
