"""Outages and healthy worlds from public reports, each with its truth, by authors who had not seen the rules.

Each file has a `world` and a `truth`: its causes (`also` are names that the same evidence allows), the severity, the
report that it follows, and why. A set was frozen before it was scored; docs/incidents.md has what it scored then.

    python -m tests.sets                              # what each scores now
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import yaml

from runbook.config.load import YAML_LOADER, load_settings

FOLDER = Path(__file__).parent
# The sets, and the SHA-256 of their files one after the other: nothing in a set changes after it was scored.
SETS = {
    "first": "02e9f5b27f90489a9d5c8ccf111c7918c0b0f5315afa04588dcfe569ae918769",
    "second": "bb96300fa9a184b6dbbe63b54137cb2619392e35f8c76c5ea473bde114dd47e5",
    "third": "e99a4349cee80d0e4290122045c5d6a58c2fe1e8fdafd91a5d953fdb8c4e0740",
    "fourth": "4b17975a19e1d6fe711cae4b52596e90bd3d9887425241fa1c1ef38636bdc1bd",
    "fifth": "985fcd7a875d3130dd866ff71220195ab48ee2c10839edad36b88799f86c48a5",
    "sixth": "d08d83a210c1839b1fd9bc50ce520757e77832f10dc6cea3f18bd5f09bc3735e",
    "seventh": "882fb0834333388b5a7dbfe0941531b31dfb2d2264d0b2ca5409ed3903f5f5f7",
    "eighth": "f0c15a8b6fe944e8958135047e268d3a2549137b7de9f750a6d8314362fb0525",
    "ninth": "bc373671811e6061311d154f2383d2c8979f28821345e9e4e902f9c1409827d3",
    "tenth": "fc065ec99b0b22af8520c1e28c472fb4737c91f0b9a6dd62f3dd97a53d8802a3",
    "eleventh": "c96a9e2309398911bab57c89c6edbd76b647d35588ac52bfbc6495a83360c309",
    "twelfth": "f90a081f598a078196b77d0987b5515cdd22c92d63a83dd140f01980ffaf1c3d",
    "thirteenth": "2a27faf4769aa515f1ac350a2086314033d00e291b3004bb67e57b9a93a07230",
    "fourteenth": "f606c1ad824591bab63ff7bd5f0a748919b85535531c3f7015bf7ee3a4620d8c",
    "fifteenth": "d2b386f2db2bba3a5ec47500903cc4620fdf7728f66fc087cdfc123bd67e3812",
    "sixteenth": "356ccaff214e98b36e417c889a6bd60e4d8a0edaf819eb73994bb22aefae0faa",
    "seventeenth": "4d6ef2c91c1c1ace68f32493a17426de8b38ccc3481ee5293de4441c74d78057",
    "eighteenth": "435b2d969815e68965216af4e8452ac64387521ac73d33a8c94fa8f670f16ae7",
    "nineteenth": "a6d4973f5d8591f99b8d22342779c36b06f2170420d2492787919fab8d195879",
    "twentieth": "2ed1a05cdffe36e7dc1dee91ee4b83ecb4160b3abcebb74d7b97327174769519",
}


class Judged(NamedTuple):
    """What is said about one world, held against its truth."""

    name: str
    cause: str  # the main one, "" for a healthy world
    first: bool  # whether the first cause is a true one; of a healthy world, whether none is named
    two: bool
    sure_but_wrong: bool
    severity: bool
    missed: bool  # sick, and no cause is named
    alarm: bool  # healthy, and a cause is named
    abstained: bool  # "unknown", although a cause can be named
    daily_wrong: (
        bool  # the daily check neither alerts nor is unknown while P1 says P1 or P2, or is not ok if all is well
    )
    said: str


def cases(name: str) -> list[Path]:
    """The files of a set."""
    return sorted((FOLDER / name).glob("*.yaml"))


def judge(path: Path) -> Judged:
    """Hold what P1 and the daily check say about a world against its truth."""
    from runbook.incidents import works_now
    from tests.runbook.incidents.test_diagnosis import seen_of
    from tests.runbook.incidents.test_page import page

    whole = yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)
    truth = whole["truth"]
    with TemporaryDirectory() as folder:
        world = Path(folder) / "world.yaml"
        world.write_text(json.dumps(whole["world"], default=str))  # JSON is YAML
        seen, moment = seen_of(str(world))
    found = page(seen, moment)
    said = [cause.cause for cause in found.causes]
    true = {name for one in truth["causes"] for name in (one["cause"], *one.get("also", ()))}
    sure = {c.cause for c in found.causes if c.confidence == "sure"}
    asked = (seen.functions, seen.runs, seen.jobs, seen.feeds, seen.freshness, seen.scores)
    daily = works_now(*asked, load_settings("sandbox"), moment).worst.name
    sick, main = bool(truth["causes"]), truth["causes"][0]["cause"] if truth["causes"] else ""
    return Judged(
        name=f"{path.parent.name}/{path.stem}",
        cause=main,
        first=bool(set(said[:1]) & true) if sick else not said,
        two=bool(set(said[:2]) & true) if sick else not said,
        sure_but_wrong=bool(sure - true),
        severity=found.severity == truth["severity"] or not sick,
        missed=sick and not said,
        alarm=not sick and bool(said),
        abstained=sick and main != "unknown" and said[:1] == ["unknown"],
        daily_wrong=daily not in ("alert", "unknown") if found.severity in ("P1", "P2") else not sick and daily != "ok",
        said=", ".join(f"{c.cause} ({c.confidence})" for c in found.causes),
    )


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share, in percent."""
    share, z = hits / of, 1.96
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return 100 * (middle - half), 100 * (middle + half)


def summary(judged: Iterable[Judged]) -> str:
    """The figures of a set in one paragraph, and by cause."""
    judged = list(judged)
    sick = [one for one in judged if one.cause]
    lines = []
    for name in ("first", "two", "severity"):
        hits = sum(getattr(one, name) for one in sick)
        low, high = interval(hits, len(sick))
        lines.append(f"{name}: {hits} of {len(sick)}, {100 * hits / len(sick):.1f} % ({low:.1f} to {high:.1f})")
    for name in ("sure_but_wrong", "missed", "alarm", "abstained", "daily_wrong"):
        lines.append(f"{name.replace('_', ' ')}: {sum(getattr(one, name) for one in judged)}")
    of, right = Counter(one.cause for one in sick), Counter(one.cause for one in sick if one.first)
    lines.append("by cause: " + ", ".join(f"{cause} {right[cause]}/{count}" for cause, count in sorted(of.items())))
    return "\n".join([f"{len(sick)} outages, {len(judged) - len(sick)} healthy", *lines])
