"""Secret Manager v1: the secrets that functions read, with an old version that is off and a new one that is on."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gcp_sandbox.app import ApiError, Call, route
from gcp_sandbox.iam import project_number
from gcp_sandbox.story import number
from gcp_sandbox.wire import etag, not_found, page, stamp

if TYPE_CHECKING:
    from gcp_sandbox.sandbox import Sandbox

_SECRETS = "/v1/projects/{project}/secrets"
_VERSIONS = f"{_SECRETS}/{{secret}}/versions"
_POLYNOMIAL = 0x82F63B78


class Secrets:
    """Every secret by name and its versions, oldest first, as JSON resources; values only as bytes apart from them."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        # Google answers with the project's number, whichever way it was asked.
        self.root = f"projects/{project_number(sandbox)}/secrets"
        names = sorted({s for f in sandbox.inventory.functions for s in f.secrets})
        self.secrets = {name: self._secret(name) for name in names}
        self.versions = {name: self._versions(name) for name in names}
        self.values = {
            version["name"]: f"sandbox value {version['name'].rsplit('/', 1)[1]} of {name}".encode()
            for name, versions in self.versions.items()
            for version in versions
        }

    def _created(self, name: str) -> list[timedelta]:
        """How long ago: the secret with its first version, then the second."""
        return [timedelta(days=200 + number(name, below=90)), timedelta(days=20 + number(name, below=60), hours=3)]

    def _secret(self, name: str) -> dict[str, Any]:
        return {
            "name": f"{self.root}/{name}",
            "replication": {"automatic": {}},
            "createTime": stamp(self.sandbox.story.now - self._created(name)[0]),
            "etag": etag("secret", name),
        }

    def _versions(self, name: str) -> list[dict[str, Any]]:
        old = "DESTROYED" if number("old", name, below=3) == 0 else "DISABLED"
        now = self.sandbox.story.now
        first, second = self._created(name)
        made = [self._version(name, 1, old, stamp(now - first)), self._version(name, 2, "ENABLED", stamp(now - second))]
        if old == "DESTROYED":
            made[0]["destroyTime"] = stamp(now - second + timedelta(days=7))
        return made

    def _version(self, name: str, n: int, state: str, created: str) -> dict[str, Any]:
        return {
            "name": f"{self.root}/{name}/versions/{n}",
            "state": state,
            "createTime": created,
            "replicationStatus": {"automatic": {}},
            "etag": etag("version", name, n, state),
        }

    def secret(self, name: str) -> dict[str, Any]:
        """Raises ApiError 404."""
        if name not in self.secrets:
            raise not_found(f"Secret [{self.root}/{name}] not found.")
        return self.secrets[name]

    def version(self, name: str, version: str) -> dict[str, Any]:
        """One version by number; "latest" is the newest, whatever its state. Raises ApiError 404."""
        versions = self.versions[self.secret(name)["name"].rsplit("/", 1)[1]]
        found = [v for v in versions if v["name"].rsplit("/", 1)[1] == version] if version != "latest" else versions
        if not found:
            raise not_found(f"Secret Version [{self.root}/{name}/versions/{version}] not found.")
        return found[-1]


def crc32c(data: bytes) -> int:
    """The checksum that Secret Manager sends with a value (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@route("secretmanager", "GET", _SECRETS, "secretmanager.secrets.list")
def list_secrets(sandbox: Sandbox, call: Call, project: str) -> dict:
    """Every secret's metadata."""
    secrets = list(sandbox.secrets.secrets.values())
    return {**page(call, "secrets", secrets, 25000), "totalSize": len(secrets)}


@route("secretmanager", "GET", f"{_SECRETS}/{{secret}}", "secretmanager.secrets.get")
def get_secret(sandbox: Sandbox, _call: Call, project: str, secret: str) -> dict:
    """One secret's metadata; its value is in its versions."""
    return sandbox.secrets.secret(secret)


@route("secretmanager", "GET", _VERSIONS, "secretmanager.versions.list")
def list_versions(sandbox: Sandbox, call: Call, project: str, secret: str) -> dict:
    """Newest first."""
    sandbox.secrets.secret(secret)
    versions = sandbox.secrets.versions[secret][::-1]
    return {**page(call, "versions", versions, 25000), "totalSize": len(versions)}


@route("secretmanager", "GET", f"{_VERSIONS}/{{version}}", "secretmanager.versions.get")
def get_version(sandbox: Sandbox, _call: Call, project: str, secret: str, version: str) -> dict:
    """One version's state and dates, without its value."""
    return sandbox.secrets.version(secret, version)


@route("secretmanager", "GET", f"{_VERSIONS}/{{version}}:access", "secretmanager.versions.access")
def access(sandbox: Sandbox, _call: Call, project: str, secret: str, version: str) -> dict:
    """The value of a version; "latest" never falls back to an older one that is enabled."""
    found = sandbox.secrets.version(secret, version)
    if found["state"] != "ENABLED":
        message = f"Secret Version [{found['name']}] is in {found['state']} state."
        raise ApiError(400, "FAILED_PRECONDITION", message)
    value = sandbox.secrets.values[found["name"]]
    payload = {"data": b64encode(value).decode(), "dataCrc32c": str(crc32c(value))}
    return {"name": found["name"], "payload": payload}
