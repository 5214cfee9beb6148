"""What is broken and why: facts in, ranked causes out. Pure; phrases are data, and timing decides the rest.

A function is *sick* when its newest run failed or has no end, when a run that was due did not start, or when it is not
ACTIVE; a lone error between good runs is noise. Every sick function gets one cause, from what it and the platform said
since it fell sick and from what changed between its last good run and then. `sure` is said only of what was told
outright or seen from two sides; where nothing fits, the cause is `unknown`, which is an answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cronsim import CronSim

from runbook import draw
from runbook.moment import Moment
from runbook.rows import Fact, Row
from runbook.settings import Function, Settings

FEEDS = {"gmail": "google", "google_calendar": "google", "vertex_ai": "google", "internal": "google"}
MOST = 3  # changes that are told of one function
SHORTLY = timedelta(minutes=20)  # after a change, a failure is its likely consequence
TOLD = {"memory_limit", "timeout", "capacity", "secret", "auth_error", "quota", "permission"}
_CONFIDENCE = ("sure", "likely", "possible", "unknown")
_DEPLOY = re.compile(r"UpdateFunction|CreateFunction|ReplaceService|UpdateService")


class Pattern(NamedTuple):
    """A cause, and what is said when it is one; a `hint` alone never makes it sure."""

    cause: str
    says: re.Pattern[str]
    hint: bool = False


@dataclass(frozen=True)
class Cause:
    """`functions` are those that it makes sick, `since` when the first fell sick; `evidence` in sentences."""

    cause: str
    functions: tuple[str, ...]
    since: datetime | None
    confidence: str
    evidence: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True)
class Causes(Sequence[Cause]):
    """Causes, the likeliest first; `sick` are all sick functions, `blind` what could not be seen."""

    rows: tuple[Cause, ...]
    sick: tuple[Sick, ...] = ()
    blind: tuple[str, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def plain(self) -> list[Row]:
        """The causes as JSON-ready dicts."""
        return [{**vars(c), "since": c.since and c.since.isoformat()} for c in self.rows]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if not self.rows:
            text = "Nothing is broken that could be seen." if self.blind else "Nothing is broken."
            return draw.page(draw.banner(text, "unknown" if self.blind else "ok") + self._unseen())
        rows = [
            {"no": n, "cause": c.cause.replace("_", " "), "confidence": c.confidence, "since": c.since,
             "functions": c.functions, "evidence": " ·\n".join(c.evidence)}
            for n, c in enumerate(self.rows, 1)
        ]  # fmt: skip
        return draw.page(draw.table(rows) + self._unseen())

    def _unseen(self) -> draw.Block:
        block = draw.Block("", "")
        for text in self.blind:
            block += draw.banner(f"Could not see {text}", "unknown")
        return block


@dataclass(frozen=True)
class Sick:
    """A function that does not work: how that shows, since when, and when it last worked."""

    function: Function
    symptom: str
    since: datetime
    last_good: datetime | None
    texts: tuple[str, ...] = field(default=(), repr=False)


class Seen(NamedTuple):
    """The facts of a diagnosis."""

    functions: Fact
    runs: Fact
    logs: Fact
    changes: Fact
    secrets: Fact
    jobs: Fact
    feeds: Fact


def diagnose(seen: Seen, patterns: Sequence[Pattern], settings: Settings, moment: Moment) -> Causes:
    """All causes, ranked: the surer first, then by how many functions, then by who fell sick first."""
    blind = tuple(f"{g.subject}: {g.why}" for fact in seen for g in fact.gaps)
    if seen.runs.more:
        blind += (f"older runs: only the newest {len(seen.runs.rows):,} were read",)
    sick = tuple(_sick(seen, settings, moment))
    found: dict[tuple[str, str], Cause] = {}
    for one in sick:
        cause = _cause(one, sick, seen, patterns, settings)
        before = found.get((cause.cause, cause.key))
        found[cause.cause, cause.key] = _merged(before, cause) if before else cause
    ranked = sorted(found.values(), key=lambda c: (_CONFIDENCE.index(c.confidence), -len(c.functions), c.since))
    return Causes(tuple(ranked), sick, blind)


def _merged(a: Cause, b: Cause) -> Cause:
    since = min(s for s in (a.since, b.since) if s)
    surer = min((a, b), key=lambda c: _CONFIDENCE.index(c.confidence))
    return replace(
        surer,
        functions=a.functions + b.functions,
        since=since,
        evidence=tuple(dict.fromkeys(a.evidence + b.evidence))[:6],
    )


# --- who is sick


def _sick(seen: Seen, settings: Settings, moment: Moment) -> Iterator[Sick]:
    states = {r["name"]: r for r in seen.functions.rows}
    for function in settings.functions:
        runs = [r for r in seen.runs.rows if r["function"] == function.name]
        found = _by_runs(function, runs, moment, settings, bool(seen.runs.gaps) or (seen.runs.more and not runs))
        state = states.get(function.name, {}).get("state", "ACTIVE")
        if function.name not in states and seen.functions.rows and not seen.functions.gaps:
            state = "missing"
        if found is None and state in ("FAILED", "missing", "DELETING"):
            since = states.get(function.name, {}).get("updated") or moment.at
            found = Sick(function, f"it is {state}", since, None, (states.get(function.name, {}).get("message", ""),))
        if found:
            yield replace(found, texts=(*found.texts, *_said(function, found.since, seen, states)))


def _by_runs(function: Function, runs: list[Row], moment: Moment, settings: Settings, blind: bool) -> Sick | None:
    """Sick by its runs, newest first: failed, without an end, or not started when due."""
    limit = timedelta(seconds=function.timeout_s)
    bad: list[Row] = []
    for run in runs:
        if run["status"] == "success":
            break
        if run["status"] == "failed" or moment.at - run["started_at"] > limit:
            bad.append(run)
    good = next((r["started_at"] for r in runs if r["status"] == "success"), None)
    newest = runs[0]["started_at"] if runs else None
    late = None if blind else _missed(function, newest, moment, settings)
    if bad:
        words = (
            f"{len(bad)} failed"
            if bad[0]["status"] == "failed"
            else f"a run of {_clock(bad[0]['started_at'])} has no end"
        )
        return Sick(function, words, bad[-1]["started_at"], good, tuple(r["error"] or "" for r in bad))
    if late:
        return Sick(function, f"not started, due {_clock(moment.local(late))}", late, good)
    return None


def _missed(function: Function, newest: datetime | None, moment: Moment, settings: Settings) -> datetime | None:
    """The first scheduled run after the newest one that should have started more than three minutes ago."""
    start = (newest or moment.ago(24)).astimezone(settings.zone)
    due = next(CronSim(function.schedule, start + timedelta(minutes=1 if newest else 0))).astimezone(moment.at.tzinfo)
    return moment.local(due) if due < moment.at - timedelta(minutes=3) else None


def _said(function: Function, since: datetime, seen: Seen, states: Mapping[str, Row]) -> Iterator[str]:
    """What was logged about a function since shortly before it fell sick."""
    for row in seen.logs.rows:
        if row["function"] == function.name and row["at"] >= since - timedelta(minutes=3):
            yield row["text"]
    yield states.get(function.name, {}).get("message", "")


def _clock(when: datetime) -> str:
    return f"{when:%H:%M}"


# --- why


def _cause(one: Sick, sick: Sequence[Sick], seen: Seen, patterns: Sequence[Pattern], settings: Settings) -> Cause:
    for rule in (_region, _paused, _by_words, _stuck, _by_change):
        if cause := rule(one, sick, seen, patterns, settings):
            return replace(cause, evidence=(f"{one.function.name}: {one.symptom}", *cause.evidence))
    deployed = _changed(one, seen, lambda c: _DEPLOY.search(c["what"]) and one.function.name in c["resource"])
    evidence = tuple(f"it was changed shortly before, {_told(c)}" for c in deployed)
    key = "not started" if one.symptom.startswith("not started") else one.function.name
    said = f"{one.function.name}: {one.symptom}"
    news = tuple(f"“{text[:140]}”" for text in _news(one, seen)[:1])
    return _make("unknown", one, "unknown", said, *news, *evidence, "nothing that is known fits", key=key)


def _by_change(one: Sick, _: Any, seen: Seen, __: Any, ___: Settings) -> Cause | None:
    """What it says is not known, but something of its own changed after its last good run: likely that, the newest."""
    if one.symptom.startswith("not started") or not one.last_good:
        return None
    name, of = one.function.name, one.function
    changes = [
        (cause, row)
        for row in _changed(one, seen, lambda c: c["at"] > one.last_good)
        for cause, fits in (
            ("crash_after_deploy", _DEPLOY.search(row["what"]) and row["resource"].endswith(f"/{name}")),
            ("secret", "Secret" in row["what"] and any(s in row["resource"].split("/") for s in of.secrets)),
            ("bad_data", any(row["resource"].endswith(f"/{table}") for table in of.tables)),
        )
        if fits
    ]
    for cause, row in changes[:1]:
        said = (f"“{text[:140]}”" for text in _news(one, seen)[:1])
        secret = next((s for s in of.secrets if s in row["resource"].split("/")), "")
        return _make(
            cause, one, "likely", *said, f"shortly before: {_told(row)}", key=secret if cause == "secret" else ""
        )
    return None


def _news(one: Sick, seen: Seen) -> list[str]:
    """What was said since it fell sick and, numbers aside, not before."""
    before = {
        _shape(r["text"])
        for r in seen.logs.rows
        if r["function"] == one.function.name and r["at"] < one.since - timedelta(minutes=3)
    }
    return [text for text in one.texts if text and _shape(text) not in before]


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _make(cause: str, one: Sick, confidence: str, *evidence: str, key: str = "") -> Cause:
    return Cause(cause, (one.function.name,), one.since, confidence, evidence, key or one.function.name)


def _region(one: Sick, sick: Sequence[Sick], seen: Seen, _: Any, settings: Settings) -> Cause | None:
    """Our region does not answer, or Google says so, and half of the functions are sick."""
    silent = any(g.subject == f"functions in {settings.region}" for g in seen.functions.gaps)
    told = [r for r in seen.feeds.rows if r["feed"] == "google" and settings.region in r["where"] and _ours(r["what"])]
    many = len(sick) * 2 >= len(settings.functions)
    if not (silent or told) or not (many or silent):
        return None
    evidence = [f"{settings.region} does not answer"] if silent else []
    evidence += [f"Google reports: {r['title']}" for r in told]
    sure = "sure" if silent and told else "likely"
    return _make("region_outage", one, sure, *evidence, key=settings.region)


def _ours(products: str) -> bool:
    return bool(re.search(r"cloud run|functions|scheduler|compute|networking|multiple", products, re.IGNORECASE))


def _paused(one: Sick, _: Any, seen: Seen, __: Any, ___: Settings) -> Cause | None:
    """Its job is paused or disabled, and it did not start since."""
    job = next((j for j in seen.jobs.rows if j["name"] == one.function.name), None)
    if not job or job["state"] not in ("PAUSED", "DISABLED") or not one.symptom.startswith("not started"):
        return None
    who = _changed(
        one, seen, lambda c: "Job" in c["what"] and c["resource"].endswith(f"/{one.function.name}"), hours=48
    )
    return _make("paused_scheduler", one, "sure", f"its job is {job['state']}", *map(_told, who))


def _stuck(one: Sick, _: Any, seen: Seen, ___: Any, ____: Settings) -> Cause | None:
    """A run has no end, its time limit has passed, and nobody said why."""
    if "has no end" not in one.symptom or _news(one, seen):
        return None
    return _make(
        "stuck_etl", one, "likely", f"its limit of {one.function.timeout_s} s has passed and nothing was logged"
    )


def _by_words(
    one: Sick, sick: Sequence[Sick], seen: Seen, patterns: Sequence[Pattern], settings: Settings
) -> Cause | None:
    """What it said, or was said about it, read with the patterns; then the rules of that cause."""
    found = [(p, text) for text in one.texts if (p := _match(text, patterns))]
    told = [(p.cause, text) for p, text in found if not p.hint]
    if told:
        return _read(told, one, sick, seen, patterns, settings)
    if found and (cause := _read([(p.cause, text) for p, text in found], one, sick, seen, patterns, settings)):
        doubt = "possible" if cause.confidence != "unknown" else "unknown"
        return replace(cause, confidence=doubt, evidence=(*cause.evidence, "these words are a hint, no more"))
    return None


def _read(
    matched: Sequence[tuple[str, str]],
    one: Sick,
    sick: Sequence[Sick],
    seen: Seen,
    patterns: Sequence[Pattern],
    settings: Settings,
) -> Cause:
    """The cause that most of the texts name, or the most special of them."""
    # That a run still goes is said after whatever stopped it, and of a run that is only slow.
    matched = [m for m in matched if m[0] != "stuck_etl"] or matched
    counts = Counter(cause for cause, _ in matched)
    order = list(dict.fromkeys(p.cause for p in patterns))
    special = next((c for c in ("memory_limit", "timeout", "secret") if counts[c]), "")
    cause = special or min(counts, key=lambda c: (-counts[c], order.index(c)))
    text = next(t for c, t in matched if c == cause)
    said = f"“{text[:140]}” ({counts[cause]} times)"
    if cause == "stuck_etl":
        return _make(cause, one, "sure" if "has no end" in one.symptom else "likely", said)
    if cause in TOLD:
        return _told_outright(cause, one, said, seen)
    deployed = _changed(
        one, seen, lambda c: _DEPLOY.search(c["what"]) and c["resource"].endswith(f"/{one.function.name}")
    )
    if cause == "dependency_outage":
        return _dependency(one, sick, said, seen)
    if cause == "bad_data":
        altered = _changed(one, seen, lambda c: any(c["resource"].endswith(f"/{t}") for t in one.function.tables))
        if altered or not deployed:
            return _make("bad_data", one, "sure" if altered else "likely", said, *map(_told, altered))
    if deployed:
        return _make(
            "crash_after_deploy", one, "sure", said, *(f"deployed shortly before: {_told(c)}" for c in deployed)
        )
    return _by_change(one, sick, seen, patterns, settings) or _make(
        "unknown", one, "unknown", said, "no deployment came shortly before"
    )


def _match(text: str, patterns: Sequence[Pattern]) -> Pattern | None:
    return next((p for p in patterns if p.says.search(text)), None) if text else None


def _told_outright(cause: str, one: Sick, said: str, seen: Seen) -> Cause:
    """Causes that say what they are; what changed before is further evidence."""
    names = one.function.secrets
    if cause == "secret":
        off = [r for r in seen.secrets.rows if r["secret"] in names and r["state"] != "ENABLED" and _newest(r, seen)]
        who = _changed(one, seen, lambda c: any(n in c["resource"] for n in names) and "Secret" in c["what"])
        told = [f"{r['secret']}, version {r['version']}, is {r['state']}" for r in off]
        return _make(
            cause,
            one,
            "sure",
            said,
            *told,
            *map(_told, who),
            key=off[0]["secret"] if off else one.function.source_system,
        )
    if cause == "permission":
        who = _changed(one, seen, lambda c: "IamPolicy" in c["what"])
        return _make(cause, one, "sure", said, *map(_told, who), key="permission")
    if cause == "quota":
        long = re.search(r"TotalRequests|DAILY|per day|quotaExceeded(?!.*rate)|daily", said, re.IGNORECASE)
        return _make(
            cause,
            one,
            "sure",
            said,
            "it lasts for hours" if long else "it lasts for seconds",
            key=one.function.source_system,
        )
    key = one.function.source_system if cause == "auth_error" else one.function.name
    return _make(cause, one, "sure", said, key=key)


def _newest(row: Row, seen: Seen) -> bool:
    return row["version"] == max(r["version"] for r in seen.secrets.rows if r["secret"] == row["secret"])


def _dependency(one: Sick, sick: Sequence[Sick], said: str, seen: Seen) -> Cause:
    """The other side answers with errors: sure when its own status page says so."""
    system = one.function.source_system
    feed = FEEDS.get(system, system)
    told = [r for r in seen.feeds.rows if r["feed"] == feed and (feed != "google" or _concerns(r["what"], said))]
    together = sum(s.function.source_system == system for s in sick) > 1
    confidence = "sure" if told else "likely" if together else "possible"
    return _make(
        "dependency_outage", one, confidence, said, *(f"{r['feed']} reports: {r['title']}" for r in told), key=system
    )


def _concerns(products: str, said: str) -> bool:
    words = [w for w in re.findall(r"[a-z]{4,}", products.lower()) if w not in ("google", "cloud")]
    return any(w in said.lower() for w in words)


def _changed(one: Sick, seen: Seen, fits: Any, hours: float = 0) -> list[Row]:
    """The changes that fit, made after its last good run and not long before it fell sick; newest first."""
    early = one.since - (
        timedelta(hours=hours) if hours else max(SHORTLY, one.since - one.last_good if one.last_good else SHORTLY)
    )
    return [c for c in seen.changes.rows if early <= c["at"] <= one.since + timedelta(minutes=1) and fits(c)][:MOST]


def _told(change: Row) -> str:
    return f"{change['what']} of {change['resource'].split('/', 1)[-1]} by {change['who']} at {_clock(change['at'])}"
