"""Every function of the project, as Cloud Functions lists them."""

from __future__ import annotations

from typing import Any

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.facts.base import Answer, Ask, Read, readable
from runbook.facts.fields import items, last, number, text, time_of
from runbook.model.facts import Gap
from runbook.model.moment import Moment
from runbook.model.rows import FunctionState


def functions() -> Ask:
    """Every function of the project, in any region.

    A location that did not answer is a gap: its functions are unknown, not missing.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        line = f"gcloud functions list --v2 --regions=- --project={project}"

        def see() -> Answer:
            path = f"v2/projects/{project}/locations/-/functions"
            found: list[Any] = []
            away: set[str] = set()
            for page in cloud.pages("cloudfunctions", path, pageSize=1000):
                away |= {last({"at": name}, "at") or "an unnamed location" for name in objects(page, "unreachable")}
                found += objects(page, "functions")
            rows, lost = readable("functions", found, _function, f"inspect them: {line}.")
            said = ("the location did not answer", "run again.")
            gaps = [Gap(f"functions in {place}", *said, location=place) for place in sorted(away)]
            return Answer(sorted(rows, key=lambda r: r.name), gaps=(*gaps, *lost))

        return Read("functions", line, see, no_history_of="Cloud Functions")

    return ask


def _function(found: Any) -> FunctionState | None:
    """The row of one function; None if it has no name."""
    place = text(found, "name").split("/")
    return (
        FunctionState(
            name=place[-1],
            region=place[3],
            state=text(found, "state") or "STATE_UNSPECIFIED",
            memory=text(found, "serviceConfig", "availableMemory"),
            timeout_s=number(found, "serviceConfig", "timeoutSeconds"),
            updated=time_of(found, "updateTime"),
            message=" ".join(text(m, "message") for m in items(found, "stateMessages")),
        )
        if len(place) == 6 and place[-1]
        else None
    )
