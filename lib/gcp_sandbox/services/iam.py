"""Permissions: the caller holds those of the world's `roles`, or every one, except those that the world denies.

Each route requires what Google requires for its method (https://cloud.google.com/iam/docs/permissions-reference); a
handler requires what depends on the request. The message of a refusal differs between APIs; users see it, so each is
the message of its API.
"""

from __future__ import annotations

import re
from typing import Any

from gcp_sandbox.http import HOSTS, ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.world.roles import published

_PERMISSION = re.compile(
    r"(artifactregistry|bigquery|cloudbuild|cloudfunctions|cloudscheduler|iam|logging|monitoring|resourcemanager|run"
    r"|secretmanager|serviceusage|storage)\.\w+\.\w+"
)

_WORDS = {
    "secretmanager": "Permission '{permission}' denied for resource '{resource}' (or it may not exist).",
    "cloudscheduler": (
        'The principal (user or service account) lacks IAM permission "{permission}" for the resource "{resource}" '
        "(or the resource may not exist)."
    ),
    "run": "Permission '{permission}' denied on resource '{resource}' (or resource may not exist).",
    "logging": "Permission denied for all log views",
    "monitoring": "Permission {permission} denied (or the resource may not exist).",
    "cloudresourcemanager": "The caller does not have permission",
}

# Google writes the permission in lower case here.
_ACT_AS = {
    "cloudfunctions": (
        "Caller is missing permission 'iam.serviceaccounts.actAs' on service account "
        "projects/-/serviceAccounts/{account}. Grant the role 'roles/iam.serviceAccountUser' to the caller on "
        "the service account {account}."
    ),
    "run": "Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist).",
}

_OTHER_WORDS = "Permission '{permission}' denied on resource '{resource}' (or it may not exist)."


class Iam:
    """The permissions of the only caller."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        self.denied = set(sandbox.world.deny)
        self.roles = sandbox.world.roles

    def holds(self, permission: str) -> bool:
        granted = self.roles is None or any(permission in published()[role] for role in self.roles)
        return granted and permission not in self.denied

    def require(self, permission: str, api: str, variables: dict[str, str]) -> None:
        """Raise ApiError 403 with the message of `api`, unless the project matches and the caller holds `permission`.

        `permission` "" requires none. `variables` are the route's, in the order of the path: they name the resource.
        """
        project = variables.get("project", self.sandbox.inventory.project)
        if project not in (self.sandbox.inventory.project, self.sandbox.inventory.project_number):
            raise _no_project(api, project)
        if permission and not self.holds(permission):
            raise _denied(permission, api, {**variables, "project": project})

    def act_as(self, api: str) -> None:
        """Raise ApiError 403 unless the caller may change what runs as the functions' service account.

        For a change of a Cloud Run service, even if only the traffic changes:
        https://cloud.google.com/run/docs/configuring/services/service-identity
        https://github.com/GoogleCloudPlatform/cloud-run-release-manager/issues/81
        """
        if not self.holds("iam.serviceAccounts.actAs"):
            message = _ACT_AS[api].format(account=self.sandbox.inventory.account)
            raise ApiError(403, "PERMISSION_DENIED", message, details=[_info(api, "IAM_PERMISSION_DENIED")])


def _no_project(api: str, project: str) -> ApiError:
    if api == "bigquery":
        return ApiError(404, "NOT_FOUND", f"Not found: Project {project}", "notFound")
    message = f"Permission denied on resource project {project}."
    return ApiError(403, "PERMISSION_DENIED", message, details=[_info(api, "CONSUMER_INVALID", consumer=project)])


def _denied(permission: str, api: str, variables: dict[str, str]) -> ApiError:
    if api == "bigquery":
        return ApiError(403, "PERMISSION_DENIED", _bigquery_words(permission, variables), "accessDenied")
    if api == "storage":
        return ApiError(403, "", _storage_words(permission, variables["project"]), "forbidden")
    resource = "/".join(f"{kind}s/{name}" for kind, name in variables.items())
    message = _WORDS.get(api, _OTHER_WORDS).format(permission=permission, resource=resource)
    info = _info(api, "IAM_PERMISSION_DENIED", permission=permission, resource=resource)
    return ApiError(403, "PERMISSION_DENIED", message, details=[info])


def _bigquery_words(permission: str, variables: dict[str, str]) -> str:
    project, dataset, table = (variables.get(key, "") for key in ("project", "dataset", "table"))
    if dataset:
        kind, name = ("Table", f"{project}:{dataset}.{table}") if table else ("Dataset", f"{project}:{dataset}")
        denied = f"Permission {permission} denied on {kind.lower()} {name} (or it may not exist)."
        return f"Access Denied: {kind} {name}: {denied}"
    return f"Access Denied: Project {project}: User does not have {permission} permission in project {project}."


def _storage_words(permission: str, project: str) -> str:
    kind = "bucket" if permission in ("storage.buckets.get", "storage.objects.list") else "object"
    denied = f"Permission '{permission}' denied on resource (or it may not exist)."
    caller = f"caller@{project}.iam.gserviceaccount.com"
    return f"{caller} does not have {permission} access to the Google Cloud Storage {kind}. {denied}"


def _info(api: str, reason: str, **metadata: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": HOSTS[api],
        "metadata": metadata,
    }


def _test(sandbox: State, call: Call, **_: str) -> dict:
    """Which of the permissions in the body the caller holds; an unknown permission is an error."""
    asked = call.body.get("permissions", [])
    for permission in asked:
        if not _PERMISSION.fullmatch(permission):
            raise ApiError(400, "INVALID_ARGUMENT", f"Permission {permission} is not valid for this resource.")
    held = [permission for permission in asked if sandbox.iam.holds(permission)]
    return {"permissions": held} if held else {}


for _api, _path in (
    ("cloudresourcemanager", "/v3/projects/{project}"),
    ("cloudresourcemanager", "/v1/projects/{project}"),
    ("cloudfunctions", "/v2/projects/{project}/locations/{location}/functions/{function}"),
    ("run", "/v2/projects/{project}/locations/{location}/services/{service}"),
    ("secretmanager", "/v1/projects/{project}/secrets/{secret}"),
    ("bigquery", "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}"),
):
    route(_api, "POST", f"{_path}:testIamPermissions")(_test)


@route("cloudresourcemanager", "GET", "/v1/projects/{project}", "resourcemanager.projects.get")
def project_v1(sandbox: State, _call: Call, **_: str) -> dict:
    """The v1 format, which `gcloud projects describe` requests."""
    project_id = sandbox.inventory.project
    return {
        "projectNumber": sandbox.inventory.project_number,
        "projectId": project_id,
        "name": project_id,
        "lifecycleState": "ACTIVE",
        "createTime": "2023-05-04T09:00:00Z",
    }


@route("cloudresourcemanager", "GET", "/v3/projects/{project}", "resourcemanager.projects.get")
def project(sandbox: State, _call: Call, **_: str) -> dict:
    """The project's id and number, as the client library reads them."""
    project_id = sandbox.inventory.project
    return {
        "name": f"projects/{sandbox.inventory.project_number}",
        "projectId": project_id,
        "displayName": project_id,
        "state": "ACTIVE",
        "createTime": "2023-05-04T09:00:00Z",
    }
