"""The first lines of a P1 record: how bad, since when, why, what to do next, and whom to call. Pure."""

import re
from collections.abc import Iterator
from textwrap import shorten
from typing import Any

from runbook.display import few, show

MOST, LONG = 4, 110  # causes, and characters of their evidence
_MODULE, _PATH = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])"), re.compile(r"\bprojects/\S+/(?=[^/\s\]]+/[^/\s\]]+)")


def answer(page: Any) -> Iterator[str]:
    """Lines of a `Page`: for the severity, for each cause, for what could not be read, and for the people."""
    if page.causes:
        since = min(cause.since for cause in page.causes)
        yield f"{page.severity} since {show(since)}, respond by {show(page.answer_by)}: {page.why}"
    for number, cause in enumerate(page.causes[:MOST], 1):
        yield f"{number}. {cause.title} ({cause.confidence}): {few(cause.functions)}"
        beside = [text for text in cause.evidence if text.partition(":")[0] not in cause.functions]  # the symptoms
        telling = next((text for text in beside if text.startswith("“")), (beside or cause.evidence)[0])
        telling = _MODULE.sub("", _PATH.sub("…/", telling))
        yield f"   evidence: {shorten(telling, LONG, placeholder='…”' if telling.startswith('“') else '…')}"
        if cause.against:
            yield f"   against it: {shorten(cause.against, LONG, placeholder='…')}"
        step = next((step for step in page.steps if step.of is cause), None)
        if step:
            yield f"   next: {step.command or step.do}"
    if (rest := len(page.causes) - MOST) > 0:
        yield f"and {rest} more below"
    if gaps := [gap.subject for gap in page.causes.unknowns]:
        yield f"could not read: {', '.join(dict.fromkeys(gaps))}"
    if page.short.rows:
        missing = [one for row in page.short.rows for one in row.tables or (f"data of {row.function}",)]
        yield f"data is missing: {few(missing)}"
    for row in [row for row in page.short.rows if row.ran_again][:MOST]:
        yield f"   {row.function} ran again at {row.ran_again:%H:%M %Z}, but {row.said}: {row.command or row.do}"
    if page.causes and page.people:
        people = (f"{row['who']} ({', '.join(filter(None, (row['role'], row['how'])))})" for row in page.people)
        yield f"contact: {'; '.join(people)}"
