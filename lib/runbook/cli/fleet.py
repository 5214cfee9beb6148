"""`runbook fleet`: one runbook on many environments, and what the record store has of each, who is missing first.

If this command does not run either, whoever waits for its ping notices.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from textwrap import shorten
from typing import Any

import click

from runbook.cli.complete import complete
from runbook.cli.output import JSON, table_text, wants_json
from runbook.display.text import visible
from runbook.model import BadInput, BadSettings, Exit, RunbookError, Verdict

SHOWN = ("environment", "verdict", "said")
LONG = 300  # characters of what one environment says


def _ping(code: int) -> None:
    """Send the exit code to the address of whoever waits for it; if that fails, the exit code stays what it is."""
    from urllib.request import urlopen

    address = os.environ.get("RUNBOOK_PING", "")
    if not address or int(os.environ.get("CLOUD_RUN_TASK_COUNT", "1")) > 1:
        return
    try:
        if not address.startswith(("http://", "https://")):
            raise ValueError
        urlopen(f"{address.rstrip('/')}/{code}", timeout=10).close()
    except (OSError, ValueError) as error:  # its text may hold the address, which is a secret
        click.echo(f"RUNBOOK_PING did not take the exit code {code}: {type(error).__name__}.", err=True)


@click.command()
@JSON
@click.argument("name", metavar="[RUNBOOK]", default="daily_check", shell_complete=complete("runbook"))
@click.option("--env", "patterns", multiple=True, shell_complete=complete("environment"), help="A name or a pattern.")
@click.option("--jobs", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="Parallel runs; default: CPUs.")
@click.option("--only-judge", is_flag=True, help="Run nothing; judge the reports in the record store.")
@click.option("--by", type=click.DateTime(["%H:%M"]), metavar="HH:MM", help="The team's time by which a report is due.")
@click.option("--hours", type=click.FloatRange(0.1), default=24, help="Without --by: how old a report may be; 24.")
@click.option("--scheduled", is_flag=True, help="Notify `alert_contacts` in params of what is new.")
def fleet(patterns: Sequence[str], **options: Any) -> None:
    """Run a runbook on each matching environment, and show results.

    Without --env, it runs on every environment except the sandbox. Missing reports are listed first, then alerts,
    unknowns and warnings, then what is new.

    \b
    runbook fleet --env 'prod-*' --jobs 4              # the daily check of each, then what they reported
    runbook fleet --only-judge --by 09:00              # which have no report of today (until 09:00: of yesterday)
    runbook fleet --only-judge --hours 2               # for hourly runs

    The exit code is that of the worst verdict; a missing report counts as unknown (4).
    It is sent to RUNBOOK_PING/CODE.
    """
    from runbook.config.load import environments, matching
    from runbook.data_file import text_of

    code = Exit.BROKEN
    try:
        real = [name for name in environments() if name != "sandbox"]  # which is for practice, unless it is named
        names = matching(patterns) if patterns else real
        if not names:
            given = {"asked": ", ".join(patterns) or "*", "known": ", ".join(environments())}
            raise BadInput(**text_of(__file__, "no_environment", **given))
        index, count = (int(os.environ.get(f"CLOUD_RUN_TASK_{name}", "") or 0) for name in ("INDEX", "COUNT"))
        code = _fleet(names[index :: count or 1], **options)
    except RunbookError as error:
        code = error.exit
        raise
    finally:
        _ping(code)
    sys.exit(code)


def _told(_kind: str, contact: str, title: str, result: str, **_: str) -> None:
    """Say on stderr whom the judge notified: it has no record of its own."""
    click.echo(f"{contact or 'no contact'}: {title}: {result}", err=True)


def _fleet(names: list[str], name: str, by: Any, hours: float, only_judge: bool, jobs: int, scheduled: bool) -> Exit:
    """Run the fleet, judge it and print the result; return the exit code."""
    from concurrent.futures import ThreadPoolExecutor

    from runbook.audit.fleet import ORDER, reported
    from runbook.config.request import find_runbook

    stem = find_runbook(name).stem
    since, why = datetime.now(UTC).replace(microsecond=0), dict[str, str]()
    if not only_judge:
        from runbook.runner.fleet import run_all

        why = run_all(name, names, jobs, scheduled, logged=not sys.stdout.isatty() and not wants_json())
    start = since - timedelta(hours=hours) if only_judge else since
    asked = partial(reported, runbook=stem, since=start, by=by if only_judge else None, why=why)
    with ThreadPoolExecutor(8) as pool:
        rows = sorted(pool.map(asked, names), key=lambda row: ORDER.index(row.verdict))
    if only_judge and scheduled:
        from runbook.config import Request, load_settings
        from runbook.runner.alerts import notify

        for row in rows:
            if not row.record:  # it is missing, or the store cannot tell
                wanted = Request(stem, {"environment": row.environment})
                with suppress(BadSettings):  # which name no contacts
                    notify(load_settings(row.environment), wanted, None, row.said, _told)
    counts = Counter(row.verdict for row in rows)
    causes = Counter(cause for row in rows for cause in row.causes).most_common(10)
    exit = max((Verdict.__members__.get(row.verdict, Verdict.unknown) for row in rows), default=Verdict.ok).exit
    if wants_json():
        whole = {"runbook": name, "exit": exit, "counts": counts, "causes": causes}
        click.echo(json.dumps(whole | {"environments": [row._asdict() for row in rows]}))
        return exit
    shown = [row._replace(said=shorten(row.said, LONG, placeholder=" …")) for row in rows if row.verdict != "ok"]
    if shown:
        click.echo(table_text([{key: getattr(row, key) for key in SHOWN} for row in shown]))
    for row in rows:
        for word, of in (("new", row.new), ("no longer reported", row.over)):
            click.echo(visible(f"{row.environment}, {word}: {'; '.join(of)}\n" * bool(of)), nl=False)
    for cause, count in causes:
        click.echo(visible(f"{count} of {len(rows)} environments: {cause}"))
    said = ", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word])
    click.echo(f"{name}: {said} (environments: {len(rows)}).")
    return exit
