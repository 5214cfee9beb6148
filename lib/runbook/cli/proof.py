"""`runbook records verify` and `attest`: whether records are as they were written, and a signature for all of them."""

import sys
from pathlib import Path
from typing import Any

import click

from runbook.cli.output import aside, table_text
from runbook.cli.signing import SYSTEM, confirm, no_secret, signs
from runbook.data_file import table
from runbook.model import BadInput, Exit


@click.command()
@click.argument("record", default="")
@click.option("--all", "everything", is_flag=True, help="Verify every record of the store.")
@SYSTEM
def verify(record: str, everything: bool, system: Any) -> None:
    """Verify a record, or all records.

    This checks the digests, the approvals that were used, and the newest signed manifest.

    Exits with 3 if something is wrong, and with 4 if a run has no recorded end.
    """
    from runbook.audit.verify import verify

    if bool(record) == everything:
        raise BadInput("give a record, or --all", next="see: runbook records verify --help")
    found = verify(system, record)
    rows = [{"record": run, "": fault} for run, lines in sorted(found.faults.items()) for fault in lines]
    click.echo(table_text(rows) or f"Proved: {', '.join(found.faults) if record else f'{len(found.faults)} records'}.")
    aside("\n".join([*(f"Ignored: {line}" for line in found.ignored), _manifest(system, found)]))
    sys.exit(Exit.ALERT if found.wrong else Exit.UNKNOWN if rows else Exit.OK)


def _manifest(system: Any, found: Any) -> str:
    """What the newest manifest proves, and what nothing here can prove."""
    later = len(found.faults.keys() - found.manifest.records.keys()) if found.manifest else 0
    name = "manifest" if found.manifest else "no_manifest"
    return table(__file__, "texts.yaml")[name].format(manifest=found.manifest, later=later, env=env_of(system)).strip()


def env_of(system: Any) -> str:
    """What a printed command needs to be for this environment: nothing for the default."""
    return "" if system.environment == "sandbox" else f" --env {system.environment}"


@click.command()
@SYSTEM
@click.option("--reason", default="", callback=no_secret, help="Why records are missing or wrong; you sign it, too.")
@signs
def attest(system: Any, reason: str, yes: bool, who: str | None, key: Path | None) -> None:
    """Sign a manifest: the digests of all records.

    With a manifest, verify finds records that were deleted or replaced.
    """
    from runbook.approvals.signed import identity
    from runbook.audit import verify
    from runbook.cloud.target import target

    who, key = identity(system, target(system.environment), "security", who, key)
    confirm(yes, f"Sign the records of {system.environment} as {who}?")
    signed, found = verify.attest(system, who, key, reason)
    counted = f"{len(signed.records)} records; {len(found.faults) - len(signed.records)} have no recorded end"
    click.echo(f"Manifest {signed.number}, signed by {who}: {counted}, {len(signed.known)} are known to be wrong.")
