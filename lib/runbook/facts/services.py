"""What the control planes know now: functions, scheduler jobs, and what this run's identity may do."""

from __future__ import annotations

from datetime import datetime

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read
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
            rows: list[Row] = []
            away: set[str] = set()
            for page in cloud.pages("cloudfunctions", path, pageSize=1000):
                away |= {name.rsplit("/", 1)[-1] for name in page.get("unreachable", [])}
                rows += [_function(f) for f in page.get("functions", [])]
            gaps = (Gap(f"functions in {place}", "the location did not answer", "run again.") for place in sorted(away))
            return Answer(sorted(rows, key=lambda r: r["name"]), gaps=tuple(gaps))

        return Read("functions", f"gcloud functions list --v2 --project={project}", see, forgets="Cloud Functions")

    return ask


def _function(found: Row) -> Row:
    place, config = found["name"].split("/"), found.get("serviceConfig", {})
    return {
        "name": place[-1],
        "region": place[3],
        "state": found.get("state", "STATE_UNSPECIFIED"),
        "memory": config.get("availableMemory", ""),
        "timeout_s": config.get("timeoutSeconds", 0),
        "updated": datetime.fromisoformat(found["updateTime"]),
        "message": " ".join(m.get("message", "") for m in found.get("stateMessages", [])),
    }


def jobs() -> Ask:
    """Rows `name, state, schedule, zone, last_attempt, code, message` of the region's jobs; code 0 is success."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, region = cloud.settings.project, cloud.settings.region

        def see() -> Answer:
            path = f"v1/projects/{project}/locations/{region}/jobs"
            rows = [_job(job) for job in cloud.items("cloudscheduler", path, "jobs", pageSize=500)]
            return Answer(sorted(rows, key=lambda r: r["name"]))

        line = f"gcloud scheduler jobs list --location={region} --project={project}"
        return Read("scheduler jobs", line, see, forgets="Cloud Scheduler")

    return ask


def _job(found: Row) -> Row:
    last, status = found.get("lastAttemptTime"), found.get("status", {})
    return {
        "name": found["name"].rsplit("/", 1)[-1],
        "state": found.get("state", "STATE_UNSPECIFIED"),
        "schedule": found.get("schedule", ""),
        "zone": found.get("timeZone", "UTC"),
        "last_attempt": datetime.fromisoformat(last) if last else None,
        "code": status.get("code", 0),
        "message": status.get("message", ""),
    }


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
            held = set(cloud.ask("cloudresourcemanager", path, {"permissions": wanted}).get("permissions", []))
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
