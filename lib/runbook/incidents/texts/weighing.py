"""What the texts about a failing function say, weighed: the run's own last error before what came earlier. Pure.

A text counts by where it stands, by how much its row says, and by whether it is new since the failure began.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from runbook.incidents.affected import Line
from runbook.incidents.texts.codes import Match, Tables
from runbook.incidents.texts.signatures import FORMS

_PLACE = {"run": 40, "platform": 35, "error": 25, "attempt": 15, "warning": 10, "bare": 25}
_STRENGTH = {3: 20, 2: 10, 1: 0, 0: -15}
_BARE = 24  # points of a line without a severity at most: less than any error of the run itself
_LEAST = 10  # points below which a text proves nothing
NEAR = 10  # points: a second cause that is so near contradicts the first


@dataclass(frozen=True)
class Told:
    """A cause that a text tells: its match, the text to quote, its points, and how many texts tell the same."""

    match: Match
    line: Line
    points: int
    count: int = 1

    cause = property(lambda self: self.match.row.cause)

    # A code or a published text says it, and the run or the platform wrote it: no hint, and no retry.
    retry = property(lambda self: self.line.place == "error" and FORMS["again"].search(self.line.text))
    sound = property(lambda self: self.line.newest and self.line.place not in ("warning", "bare") and not self.retry)
    plain = property(lambda self: self.match.strength == 3 and self.sound)
    text = property(lambda self: self.match.signature.line or self.line.text)


def weighed(lines: Iterable[Line], tables: Tables, system: str) -> list[Told]:
    """The causes that texts tell, the weightiest first; each cause once."""
    same = defaultdict(list)
    bare = False
    for line in lines:
        match = tables.match(line.text, line.place == "platform", system)
        if line.place == "bare" and match:
            match, bare = None if bare else match, True  # only the last one that tells anything
        if match and match.row.cause != "unknown" and (points := _points(line, match)) >= _LEAST:
            same[match.row.cause].append(Told(match, line, points))
    # Of texts with the same points, the last.
    found = [replace(max(reversed(all_), key=lambda t: t.points), count=len(all_)) for all_ in same.values()]
    # "Still running" is also logged after another cause stopped a run, and about slow runs, so other causes win.
    return sorted(found, key=lambda t: (t.cause != "stuck_etl" or len(found) == 1, t.points), reverse=True)


def _points(line: Line, match: Match) -> int:
    own = line.place == "run"
    points = min(_PLACE[line.place] + _STRENGTH[match.strength], _BARE if line.place == "bare" else 99)
    points -= (25 if own else 10) * (not line.newest)
    points -= 20 * (not line.new) + 15 * (not match.row.final) + 15 * match.signature.chained
    # That an instance does not start is what follows from something else.
    points -= 12 * (match.row.cause == "crash_after_deploy" and bool(match.row.platform))
    if not own and match.row.cause != "stuck_etl":
        points -= 40 if FORMS["went_on"].search(line.text) else 15 if FORMS["again"].search(line.text) else 0
    return points
