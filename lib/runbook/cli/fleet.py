"""`runbook fleet`: one runbook on many environments, and what the record store has of each, who is missing first.

A run that did not happen leaves nothing behind. Only params, which name the environments, and the records together tell
who has not reported. If this command does not run either, whoever waits for its ping notices.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.request import urlopen

import click

from runbook.cli.complete import ENVIRONMENTS, RUNBOOKS
from runbook.cli.output import table_text, wrapped
from runbook.config.load import environments, load_settings
from runbook.display.text import visible
from runbook.model.errors import BadInput, Exit, RunbookError
from runbook.model.findings import Verdict
from runbook.records.files import json_of
from runbook.records.record import is_report, store_of
from runbook.records.store import Store
from runbook.runner.alerts import findings_of

EARLIER = 50  # records that are looked through for the one before
ORDER = ("missing", "alert", "unknown", "warn", "ok")


class Reported(NamedTuple):
    """What one environment reported: `said` is its sentence, or why it is missing; `new` what was fine before."""

    environment: str
    verdict: str
    said: str
    record: str = ""
    new: Sequence[str] = ()
    over: Sequence[str] = ()
    causes: Sequence[str] = ()


def reported(environment: str, runbook: str, since: datetime, by: datetime | None, why: Mapping[str, str]) -> Reported:
    """What an environment reported after `since`, or, given a time `by`, in the team's day in which that passed last.

    Never raises: what cannot be read is unknown. `why` has the error of each run that could not begin.
    """
    try:
        system = load_settings(environment)
        store, start = store_of(system), _due(datetime.now(system.zone), by) if by else since
        names = sorted((n for n in store.children("runs") if f"-{runbook}-" in n), reverse=True)
        newest, before, left = None, None, "no run"
        for name in names[:EARLIER]:
            at, said, report = _read(store, name, runbook, environment)
            if report and at < start:
                before = report
                break
            if report and newest is None:
                newest = name, report
            elif at >= start and left == "no run":
                left = f"{name.partition('/')[2]}: {said}"
    except RunbookError as error:
        return Reported(environment, "unknown", why.get(environment) or f"{error.what}: {error.observed}")
    if newest is None:
        return Reported(environment, "missing", why.get(environment) or f"{left} since {start:%Y-%m-%d %H:%M %Z}")
    name, report = newest
    bad, known = _bad(report), _bad(before) if before else set(_bad(report))
    new, over = ([f"{check}, {subject}" for check, subject in pairs] for pairs in (bad - known, known - bad))
    causes = [f"{f['check']}, {f['subject']}" for f in findings_of(report) if f["verdict"] in ("alert", "unknown")]
    return Reported(environment, report["verdict"], str(report.get("sentence")), name[5:], new, over, causes)


def _due(now: datetime, by: datetime) -> datetime:
    """The start of the team's day in which a report is due: today once it is `by`, until then yesterday."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if now.time() >= by.time() else day - timedelta(days=1)


def _read(store: Store, name: str, runbook: str, environment: str) -> tuple[datetime, str, dict[str, Any] | None]:
    """When a run began, and its report; without one, why it does not count: its record decides."""
    stamp, at = name.partition("/")[2].partition("-")[0], datetime.min.replace(tzinfo=UTC)
    with suppress(ValueError):
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    content = store.read(f"{name}/report.json") or b""
    record, report = json_of(store.read(f"{name}/record.json")), json_of(content)
    if not isinstance(record, dict):
        return at, "it began, and has no record of its end", None
    given, sums = (part if isinstance(part := record.get(key), dict) else {} for key in ("parameters", "sha256"))
    rules = {
        str(record.get("why")): record.get("status") == "finished",
        "its record is of another run": (record.get("runbook"), given.get("environment")) == (runbook, environment),
        "it shows the past": not given.get("as_of"),
        "it has no report": is_report(report),
        "its report was changed later": sums.get("report.json") == sha256(content).hexdigest(),
    }
    return at, (said := next((why for why, met in rules.items() if not met), "")), None if said else report


def _bad(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(f["check"], f["subject"]) for f in findings_of(report) if f["verdict"] != "ok"}


def _share(names: list[str]) -> list[str]:
    """The environments of this task of a Cloud Run job: every n-th.

    Source: https://cloud.google.com/run/docs/container-contract#jobs-env-vars
    """
    index, count = (os.environ.get(f"CLOUD_RUN_TASK_{name}", d) for name, d in (("INDEX", "0"), ("COUNT", "1")))
    return names[int(index) :: max(int(count), 1)]


def _ping(code: int) -> None:
    """Send the exit code to the address of whoever waits for it, twice if need be; a failure changes no exit code."""
    address = os.environ.get("RUNBOOK_PING", "")
    if not address or int(os.environ.get("CLOUD_RUN_TASK_COUNT", "1")) > 1:
        return
    for _ in range(2):
        try:
            if not address.startswith(("http://", "https://")):
                raise ValueError("it is no http address")
            with urlopen(f"{address.rstrip('/')}/{code}", timeout=10):
                return
        except (OSError, ValueError) as error:
            why = type(error).__name__  # its text may hold the address, which is a secret
    said = f"RUNBOOK_PING did not accept the exit code: {why}. The exit code of the fleet is {code} all the same."
    click.echo(said, err=True)


@click.command()
@click.argument("name", metavar="[RUNBOOK]", default="daily_check", shell_complete=RUNBOOKS)
@click.option("--env", "patterns", multiple=True, default=["*"], shell_complete=ENVIRONMENTS, help="Such as 'prod-*'.")
@click.option("--jobs", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="Runs at once; default: CPUs.")
@click.option("--only-judge", is_flag=True, help="Run nothing; only read the record store.")
@click.option("--by", type=click.DateTime(["%H:%M"]), metavar="HH:MM", help="When a day's run is due, team's time.")
@click.option(
    "--hours", type=click.FloatRange(0.1), default=24, show_default=True, help="Without --by: a report's age."
)
@click.option("--world", default="", help="Sandbox only: the world of every run.")
@click.option("--scheduled", is_flag=True, help="Notify `alert_contacts` of params of new alerts, and of their end.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
def fleet(patterns: Sequence[str], **options: Any) -> None:
    """Run a runbook on each environment that matches, or only judge: who is missing, who alerts, and what is new.

    \b
    runbook fleet --env 'prod-*' --jobs 4              # the daily check of each, then what they reported
    runbook fleet --only-judge --by 09:00              # who has not reported today, once it is 9 o'clock there
    runbook fleet --only-judge --hours 2               # for runs of every hour

    The exit code is that of the worst; missing counts as unknown. It is sent to RUNBOOK_PING/CODE.
    """
    code = int(Exit.BROKEN)
    try:
        names = [n for n in environments() if any(fnmatchcase(n, one) for one in patterns)]
        if not names:
            said = f"no environment matches {', '.join(patterns)}"
            raise BadInput(said, f"there are: {', '.join(environments())}", next="check --env and RUNBOOK_PARAMS.")
        code = _fleet(_share(names), **options)
    except RunbookError as error:
        code = error.exit
        raise
    finally:
        _ping(code)
    sys.exit(code)


def _fleet(
    names: list[str], name: str, by: datetime | None, hours: float, only_judge: bool, as_json: bool, **how: Any
) -> int:
    """Run the fleet, judge it and print the result; return the exit code."""
    since, why = datetime.now(UTC).replace(microsecond=0), dict[str, str]()
    if only_judge:
        since -= timedelta(hours=hours)
    else:
        from runbook.runner.fleet import run_all

        values = {one: {"environment": one} | ({"world": how["world"]} if how["world"] else {}) for one in names}
        logged = not sys.stdout.isatty() and not as_json
        why = run_all(name, values, how["jobs"], how["scheduled"], logged)
    asked = partial(reported, runbook=name, since=since, by=by if only_judge else None, why=why)
    with ThreadPoolExecutor(8) as pool:
        rows = sorted(pool.map(asked, names), key=lambda row: ORDER.index(row.verdict))
    counts = Counter(row.verdict for row in rows)
    said = ", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word])
    causes = Counter(cause for row in rows for cause in row.causes).most_common(10)
    worst = max((Verdict[r.verdict] if r.verdict != "missing" else Verdict.unknown for r in rows), default=Verdict.ok)
    if as_json:
        plain = [row._asdict() for row in rows]
        whole = {"runbook": name, "exit": int(worst.exit), "counts": counts, "causes": causes, "environments": plain}
        click.echo(json.dumps(whole, ensure_ascii=False))
        return worst.exit
    shown = [r for r in rows if r.verdict != "ok"]
    click.echo(table_text([{"environment": r.environment, "verdict": r.verdict, "said": r.said} for r in shown]))
    moved = ((r.environment, word, "; ".join(of)) for r in rows for word, of in (("new", r.new), ("over", r.over)))
    news = [f"{one}, {word}: {of}" for one, word, of in moved if of]
    news += [f"{count} environments: {cause}" for cause, count in causes]
    click.echo("\n".join([*map(visible, news), wrapped(f"{name}, {len(rows)} environments: {said}.")]))
    return worst.exit
