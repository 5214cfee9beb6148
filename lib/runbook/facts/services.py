"""What the control planes know now: functions, scheduler jobs, and what this run's identity may do."""

from __future__ import annotations

from typing import Any

from runbook.cloud.answer import objects
from runbook.cloud.connect import Cloud
from runbook.facts.fields import field, items, last, mapping, moment, number, text
from runbook.facts.read import Answer, Ask, Read, readable
from runbook.moment import Moment
from runbook.rows import Gap, Row


def functions() -> Ask:
    """Rows `name, region, state, memory, timeout_s, updated, message` of every function of the project, in any region.

    A location that did not answer is a gap: what lives there is unknown, not missing.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project

        def see() -> Answer:
            path = f"v2/projects/{project}/locations/-/functions"
            found: list[Any] = []
            away: set[str] = set()
            for page in cloud.pages("cloudfunctions", path, pageSize=1000):
                away |= {last({"at": name}, "at") or "an unnamed location" for name in objects(page, "unreachable")}
                found += objects(page, "functions")
            rows, lost = readable("functions", found, _function, "look at them: gcloud functions list --v2.")
            gaps = [Gap(f"functions in {place}", "the location did not answer", "run again.") for place in sorted(away)]
            return Answer(sorted(rows, key=lambda r: r["name"]), gaps=(*gaps, *lost))

        return Read("functions", f"gcloud functions list --v2 --project={project}", see, forgets="Cloud Functions")

    return ask


def _function(found: Any) -> Row | None:
    """The row of one function, None for one without a name."""
    place = text(found, "name").split("/")
    return (
        {
            "name": place[-1],
            "region": place[3],
            "state": text(found, "state") or "STATE_UNSPECIFIED",
            "memory": text(found, "serviceConfig", "availableMemory"),
            "timeout_s": number(found, "serviceConfig", "timeoutSeconds"),
            "updated": moment(found, "updateTime"),
            "message": " ".join(text(m, "message") for m in items(found, "stateMessages")),
        }
        if len(place) == 6 and place[-1]
        else None
    )


def jobs() -> Ask:
    """Rows `name, state, schedule, zone, last_attempt, code, message` of the region's jobs; code 0 is success."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, region = cloud.settings.project, cloud.settings.region

        def see() -> Answer:
            path = f"v1/projects/{project}/locations/{region}/jobs"
            found = cloud.items("cloudscheduler", path, "jobs", pageSize=500)
            rows, lost = readable("scheduler jobs", found, _job, "look at them: gcloud scheduler jobs list.")
            return Answer(sorted(rows, key=lambda r: r["name"]), gaps=tuple(lost))

        line = f"gcloud scheduler jobs list --location={region} --project={project}"
        return Read("scheduler jobs", line, see, forgets="Cloud Scheduler")

    return ask


def _job(found: Any) -> Row | None:
    """The row of one job, None for one without a name. A status that cannot be read is code 2, google.rpc's UNKNOWN."""
    none = field(found, "status") in (None, {}) or mapping(found, "status").get("code", "") == 0
    return (
        {
            "name": last(found, "name"),
            "state": text(found, "state") or "STATE_UNSPECIFIED",
            "schedule": text(found, "schedule"),
            "zone": text(found, "timeZone") or "UTC",
            "last_attempt": moment(found, "lastAttemptTime"),
            "code": 0 if none else number(found, "status", "code", default=2),
            "message": text(found, "status", "message"),
        }
        if last(found, "name")
        else None
    )


def access(operation: str = "") -> Ask:
    """Rows `role, permission, held`: what the guide's required roles bring, asked for this run's identity.

    With an operation of the settings' matrix: the elevated roles that it needs.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, roles = cloud.settings.project, cloud.settings.roles.required
        if operation:
            elevated = cloud.settings.roles.elevated
            roles = {role: elevated[role] for role in cloud.settings.operations[operation].roles}
        wanted = sorted({p for permissions in roles.values() for p in permissions})

        def see() -> Answer:
            path = f"v3/projects/{project}:testIamPermissions"
            answer = cloud.ask("cloudresourcemanager", path, {"permissions": wanted})
            held = {p for p in objects(answer, "permissions") if isinstance(p, str)}
            return Answer({"role": r, "permission": p, "held": p in held} for r, ps in roles.items() for p in ps)

        return Read("access", _line(project, wanted), see, forgets="IAM")

    return ask


def _line(project: str, wanted: list[str]) -> str:
    body = ",".join(f'"{p}"' for p in wanted)
    return (
        'curl -s -H "Authorization: Bearer $(gcloud auth print-access-token)" -H "Content-Type: application/json" '
        f"https://cloudresourcemanager.googleapis.com/v3/projects/{project}:testIamPermissions "
        f"-d '{{\"permissions\":[{body}]}}'"
    )
