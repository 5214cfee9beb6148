"""Time the daily check against the guide's own health script, whole processes, paired in turn, in one run.

    make bench            # five pairs each
    make bench PAIRS=9

Ratios travel between machines, seconds do not. (a) is the guide's script with its faults corrected, through the real
`bq` and `gcloud`; (b) is `runbook run daily_check`; both against the same served sandbox. Last, and in seconds, a whole
`runbook run p1_response` in an outage; `tests/runbook/incidents/test_page_cost.py` measures it until the diagnosis.
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

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from runbook.config.load import load_settings

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
CHECK = f"'{Path(sys.executable).parent}/runbook' run daily_check"
P1 = f"'{Path(sys.executable).parent}/runbook' run p1_response"
P1_SECONDS = 6
TARGETS = {"plain": 0.75, "300 ms latency": 0.6}
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


def report(title: str, a: list[float], b: list[float], target: float) -> bool:
    """Print both medians and the median of the paired ratios; true when that is within the target."""
    ratio = median(y / x for x, y in zip(a, b, strict=True))
    verdict = "ok" if ratio <= target else "over"
    print(f"{title:38} a {median(a):5.2f} s   b {median(b):5.2f} s   b/a {ratio:4.2f}   target {target:.2f} {verdict}")
    return ratio <= target


def main() -> int:
    pairs = int(os.environ.get("PAIRS", "5"))
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for world, target in TARGETS.items():
            if not (shutil.which("bq") and shutil.which("gcloud")):
                print(f"{world}: bq and gcloud are not installed here, so there is nothing to compare with")
                continue
            with sandbox(folder, world) as env:
                seconds(SCRIPT, env), seconds(CHECK, env)
                times = [(seconds(SCRIPT, env), seconds(CHECK, env)) for _ in range(pairs)]
            good &= report(f"{world}: script (a), daily check (b)", *map(list, zip(*times, strict=True)), target)
        with sandbox(folder, "plain") as small, sandbox(folder, "large") as large:
            seconds(CHECK, small), seconds(CHECK, large, (0, 3, 4))
            times = [(seconds(CHECK, small), seconds(CHECK, large, (0, 3, 4))) for _ in range(pairs)]
        good &= report("daily check: healthy (a), large (b)", *map(list, zip(*times, strict=True)), 1.5)
        with sandbox(folder, "outage") as env:
            took = median([seconds(P1, env, (3,)) for _ in range(pairs)])
        print(f"p1_response: outage, 300 ms latency: {took:.2f} s   target {P1_SECONDS} s")
        good &= took <= P1_SECONDS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
