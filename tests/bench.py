"""Time the daily check against the guide's own health script, whole processes, paired in turn, in one run.

    make bench            # five pairs each
    make bench PAIRS=9

Ratios travel between machines, seconds do not. (a) is the guide's script with its faults corrected, through the real
`bq` and `gcloud`; (b) is `runbook run daily_check`; both against the same served sandbox. Then the check is compared
with plain papermill on the same notebook, and with itself in a large project. Last, and in seconds: the processor time
of a run, a whole `runbook run p1_response` in an outage (`tests/runbook/incidents/test_page_cost.py` measures it until
the diagnosis), and a fleet of 100 environments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from runbook.config.load import ROOT, load_settings

PAIRS = int(os.environ.get("PAIRS", "5"))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each run would compile the library again
SYSTEM = load_settings("sandbox")
SCRIPT = f"""
bq query --use_legacy_sql=false 'SELECT source_system, status, started_at
FROM `{SYSTEM.table("etl_runs")}`
WHERE DATE(started_at) = CURRENT_DATE()
ORDER BY started_at DESC
LIMIT 10'
gcloud functions list --v2 --regions={SYSTEM.region}
gcloud logging read 'severity>=ERROR' --limit=10 --freshness=3650d --format='table(timestamp,textPayload)'
"""
RUNBOOK = Path(sys.executable).parent / "runbook"
CHECK = f"'{RUNBOOK}' run daily_check"
P1 = f"'{RUNBOOK}' run p1_response"
PAPERMILL = f"'{sys.executable}' -m papermill '{ROOT / 'runbooks/daily_check.ipynb'}' /dev/null"
RUN_CPU_S, P1_SECONDS, FLEET, FLEET_SECONDS = 2.0, 6, 100, 70
LARGE, OF_PAPERMILL = 1.15, 0.55
TARGETS = {"plain": 0.65, "300 ms latency": 0.52}
WORLDS = {
    "plain": "like: healthy\n",
    "300 ms latency": "like: healthy\nfaults: [{latency_ms: 300}]\n",
    "large": "like: healthy\nbulk: {functions: 1300, runs: 1000000, errors: 1000000}\n",
    "outage": "like: p1_two_causes\nfaults: [{latency_ms: 300}]\n",
}


@contextmanager
def sandbox(folder: Path, world: str) -> Iterator[dict[str, str]]:
    """The environment of a served sandbox in one of WORLDS."""
    path = folder / f"{world.split()[0]}.yaml"
    path.write_text(WORLDS[world])
    with serve(gcp_sandbox.app(SYSTEM.inventory(), str(path))) as served:
        yield {
            **os.environ,
            **environment(served.url, SYSTEM.project, folder / path.stem),
            "RUNBOOK_RECORDS": str(folder / "records"),
        }


def seconds(line: str, env: dict[str, str], codes: tuple[int, ...] = (0,)) -> float:
    """How long a command takes; it must end with one of `codes`."""
    start = perf_counter()
    done = subprocess.run(["bash", "-ec", line], env=env, capture_output=True, text=True)
    took = perf_counter() - start
    if done.returncode not in codes:
        sys.exit(f"{line}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def pairs(a: tuple[Any, ...], b: tuple[Any, ...]) -> list[tuple[float, float]]:
    """How long two commands take, in turn; each is called once before."""
    seconds(*a), seconds(*b)
    return [(seconds(*a), seconds(*b)) for _ in range(PAIRS)]


def report(title: str, times: list[tuple[float, float]], target: float) -> bool:
    """Print both medians and the median of the paired ratios; true when that is within the target."""
    a, b = (median(row) for row in zip(*times, strict=True))
    ratio = median(y / x for x, y in times)
    verdict = "ok" if ratio <= target else "over"
    print(f"{title:48} a {a:5.2f} s   b {b:5.2f} s   b/a {ratio:4.2f}   target {target:.2f} {verdict}", flush=True)
    return ratio <= target


def measured(title: str, took: float, target: float, unit: str) -> bool:
    """Print a figure; true when it is within the target."""
    print(f"{title:48} {took:5.2f} {unit}   target {target} {'ok' if took <= target else 'over'}", flush=True)
    return took <= target


def used() -> float:
    """The processor time of all ended children, in seconds."""
    times = os.times()
    return times.children_user + times.children_system


def fleet(folder: Path) -> float:
    """How long the daily check of FLEET environments takes, in the sandbox of each."""
    (base := folder / "params/base").mkdir(parents=True)
    (base / "team.yaml").write_text((ROOT / "params/sandbox.yaml").read_text())
    for number in range(FLEET):
        (folder / f"params/prod-{number:03}.yaml").write_text("extends: base/team.yaml\n")
    mine = {"RUNBOOK_PARAMS": str(folder / "params"), "RUNBOOK_RECORDS": str(folder / "fleet"), "MOCK_MODE": "1"}
    return seconds(f"'{RUNBOOK}' fleet --env 'prod-*'", {**os.environ, **mine})


def main() -> int:
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for world, target in TARGETS.items():
            if not (shutil.which("bq") and shutil.which("gcloud")):
                print(f"{world}: bq and gcloud are not installed here, so there is nothing to compare with")
                continue
            with sandbox(folder, world) as env:
                good &= report(f"{world}: script (a), daily check (b)", pairs((SCRIPT, env), (CHECK, env)), target)
        with sandbox(folder, "plain") as small, sandbox(folder, "large") as large:
            good &= report("papermill (a), daily check (b)", pairs((PAPERMILL, small), (CHECK, small)), OF_PAPERMILL)
            sizes = pairs((CHECK, small), (CHECK, large, (0, 3, 4)))
            good &= report("daily check: healthy (a), large (b)", sizes, LARGE)
            before = used()
            for _ in range(PAIRS):
                seconds(CHECK, small)
            good &= measured("daily check", (used() - before) / PAIRS, RUN_CPU_S, "CPU-s")
        with sandbox(folder, "outage") as env:
            took = median([seconds(P1, env, (3,)) for _ in range(PAIRS)])
        good &= measured("p1_response: outage, 300 ms latency", took, P1_SECONDS, "s")
        good &= measured(f"fleet of {FLEET}: daily check of each", fleet(folder), FLEET_SECONDS, "s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
