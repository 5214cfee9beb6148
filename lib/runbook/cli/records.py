"""The commands below `runbook records`."""

from typing import Any

import click

from runbook.cli.proof import attest, verify
from runbook.cli.signing import SYSTEM
from runbook.model.errors import Refused


@click.command()
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


@click.group(commands=[push, verify, attest])
def records() -> None:
    """Work with the records of runs."""
