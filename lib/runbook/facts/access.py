"""The permissions of this run's identity (guide: Access Control)."""

from __future__ import annotations

import json

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.facts.base import Answer, Ask, Read
from runbook.model.errors import NoCredentials
from runbook.model.moment import Moment
from runbook.model.operations import needed
from runbook.model.rows import Permission


def access(operation: str = "") -> Ask:
    """The permissions of the guide's required roles, tested for this run's identity.

    With an operation from `operations` in params: its elevated roles, with those of their permissions that it needs.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, roles = cloud.settings.project, cloud.settings.roles.required
        if operation:
            elevated, wants = cloud.settings.roles.elevated, needed(operation)
            roles = {r: [p for p in elevated[r] if p in wants] for r in cloud.settings.operations[operation].roles}
        wanted = sorted({p for permissions in roles.values() for p in permissions})

        path = f"v3/projects/{project}:testIamPermissions"
        body = {"permissions": wanted}

        def see() -> Answer:
            try:
                answer = cloud.ask("cloudresourcemanager", path, body, as_writer=bool(operation))
            except NoCredentials as error:  # the account that applies; the reads of this run go on
                raise CannotRead(error.what, error.next) from None
            held = {p for p in objects(answer, "permissions") if isinstance(p, str)}
            return Answer(Permission(r, p, p in held) for r, ps in roles.items() for p in ps)

        line = (
            'curl -s -H "Authorization: Bearer $(gcloud auth print-access-token)" -H "Content-Type: application/json" '
            f"https://cloudresourcemanager.googleapis.com/{path} -d '{json.dumps(body, separators=(',', ':'))}'"
        )
        return Read("access", line, see, no_history_of="IAM")

    return ask
