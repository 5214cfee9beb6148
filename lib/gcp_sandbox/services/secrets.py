"""Secret Manager v1: the secrets that functions read, with a disabled old version and an enabled new one."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import google_crc32c

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import etag, fill, not_found, number, page, stamp
from gcp_sandbox.world.schema import SecretVersion

_SECRETS = "/v1/projects/{project}/secrets"
_VERSIONS = f"{_SECRETS}/{{secret}}/versions"
_LARGEST = 65_536


class Secrets:
    """Every secret by name and its versions, oldest first, as JSON resources; values are stored apart, as bytes."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        # Google answers with the project number, even if the request has the project id.
        self.root = f"projects/{sandbox.inventory.project_number}/secrets"
        names = sorted({s for f in sandbox.inventory.functions for s in f.secrets})
        self.secrets = {name: self._secret(name) for name in names}
        self.versions = {name: self._versions(name) for name in names}
        self.values = {
            version["name"]: f"sandbox value {version['name'].rsplit('/', 1)[1]} of {name}".encode()
            for name, versions in self.versions.items()
            for version in versions
        }

    def _told(self, name: str) -> tuple[SecretVersion, ...]:
        """The versions from the world, or a disabled and an enabled one; oldest first."""
        for said in self.sandbox.world.secrets:
            if said.name == name:
                return said.versions
        first = SecretVersion(
            age=timedelta(days=200 + number(name, below=90)),
            state="DESTROYED" if number("old", name, below=3) == 0 else "DISABLED",
        )
        return first, SecretVersion(age=timedelta(days=20 + number(name, below=60), hours=3))

    def _secret(self, name: str) -> dict[str, Any]:
        created = stamp(self.sandbox.world.now - self._told(name)[0].age)
        return fill(__file__, "secret", name=f"{self.root}/{name}", created=created, etag=etag("secret", name))

    def _versions(self, name: str) -> list[dict[str, Any]]:
        made, clock = [], self.sandbox.world.now
        for n, said in enumerate(self._told(name), 1):
            version = self._version(name, n, said.state, stamp(clock - said.age))
            if said.state == "DESTROYED":
                version["destroyTime"] = stamp(clock - (said.changed or said.age / 2))
            made.append(version)
        return made

    def _version(self, name: str, n: int, state: str, created: str) -> dict[str, Any]:
        named = {"name": f"{self.root}/{name}/versions/{n}", "etag": etag("version", name, n, state)}
        return fill(__file__, "version", **named, state=state, created=created)

    def add(self, name: str, value: bytes, checked: bool) -> dict[str, Any]:
        """Add the newest version of a secret."""
        versions = self.versions[name]
        made = self._version(name, len(versions) + 1, "ENABLED", stamp(self.sandbox.tick()))
        made |= {"clientSpecifiedPayloadChecksum": True} if checked else {}
        versions.append(made)
        self.values[made["name"]] = value
        return made

    def enabled(self, name: str, version: str) -> dict[str, Any]:
        """An enabled version. Raises ApiError 404, and FAILED_PRECONDITION if it is not enabled."""
        found = self.version(name, version)
        if found["state"] != "ENABLED":
            raise _wrong(f"Secret Version [{found['name']}] is in {found['state']} state.")
        return found

    def secret(self, name: str) -> dict[str, Any]:
        """Raises ApiError 404."""
        if name not in self.secrets:
            raise not_found(f"Secret [{self.root}/{name}] not found.")
        return self.secrets[name]

    def version(self, name: str, version: str) -> dict[str, Any]:
        """One version by number; "latest" is the newest, whatever its state. Raises ApiError 404."""
        self.secret(name)
        versions = self.versions[name]
        found = [v for v in versions if v["name"].rsplit("/", 1)[1] == version] if version != "latest" else versions
        if not found:
            raise not_found(f"Secret Version [{self.root}/{name}/versions/{version}] not found.")
        return found[-1]


@route("secretmanager", "GET", _SECRETS, "secretmanager.secrets.list")
def list_secrets(sandbox: State, call: Call, project: str) -> dict:
    """Every secret's metadata."""
    secrets = list(sandbox.secrets.secrets.values())
    return {**page(call, "secrets", secrets, 25000), "totalSize": len(secrets)}


@route("secretmanager", "GET", f"{_SECRETS}/{{secret}}", "secretmanager.secrets.get")
def get_secret(sandbox: State, _call: Call, project: str, secret: str) -> dict:
    """One secret's metadata; its value is in its versions."""
    return sandbox.secrets.secret(secret)


@route("secretmanager", "GET", _VERSIONS, "secretmanager.versions.list")
def list_versions(sandbox: State, call: Call, project: str, secret: str) -> dict:
    """Newest first."""
    sandbox.secrets.secret(secret)
    versions = sandbox.secrets.versions[secret][::-1]
    return {**page(call, "versions", versions, 25000), "totalSize": len(versions)}


@route("secretmanager", "GET", f"{_VERSIONS}/{{version}}", "secretmanager.versions.get")
def get_version(sandbox: State, _call: Call, project: str, secret: str, version: str) -> dict:
    """One version's state and dates, without its value."""
    return sandbox.secrets.version(secret, version)


@route("secretmanager", "GET", f"{_VERSIONS}/{{version}}:access", "secretmanager.versions.access")
def access(sandbox: State, _call: Call, project: str, secret: str, version: str) -> dict:
    """The value of a version; "latest" never falls back to an older one that is enabled."""
    found = sandbox.secrets.enabled(secret, version)
    value = sandbox.secrets.values[found["name"]]
    payload = {"data": b64encode(value).decode(), "dataCrc32c": str(google_crc32c.value(value))}
    return {"name": found["name"], "payload": payload}


@route("secretmanager", "POST", f"{_SECRETS}/{{secret}}:addVersion", "secretmanager.versions.add")
def add_version(sandbox: State, call: Call, project: str, secret: str) -> dict:
    """Add a value; a checksum in the request must match."""
    sandbox.secrets.secret(secret)
    payload = call.body.get("payload", {})
    try:
        # Google's clients use URL-safe Base64, gcloud the standard alphabet.
        value = b64decode(payload.get("data", "").translate({45: "+", 95: "/"}), validate=True)
    except ValueError:
        raise ApiError(400, "INVALID_ARGUMENT", "Invalid value at 'payload.data' (TYPE_BYTES)") from None
    if not value:
        raise ApiError(400, "INVALID_ARGUMENT", "Secret Payload cannot be empty.")
    if len(value) > _LARGEST:
        message = f"The payload is too large: {len(value)} bytes, at most {_LARGEST} are allowed."
        raise ApiError(400, "INVALID_ARGUMENT", message)
    checksum = payload.get("dataCrc32c")
    if checksum is not None and str(checksum) != str(google_crc32c.value(value)):
        raise ApiError(400, "INVALID_ARGUMENT", "Payload data does not match the checksum in data_crc32c.")
    return sandbox.secrets.add(secret, value, checksum is not None)


def _switch(state: str) -> Callable[..., dict]:
    def handler(sandbox: State, call: Call, project: str, secret: str, version: str) -> dict:
        """Enable or disable one version, if its etag matches the request; every change creates a new etag."""
        found, asked = sandbox.secrets.version(secret, version), call.body.get("etag")
        if asked and asked != found["etag"]:
            # 400, not 409 or 412: https://cloud.google.com/secret-manager/docs/etags
            raise _wrong(f"The etag provided does not match the current etag of [{found['name']}].")
        if found["state"] == "DESTROYED":
            raise _wrong(f"Secret Version [{found['name']}] is in DESTROYED state.")
        found |= {"state": state, "etag": etag(found["name"], state, sandbox.tick())}
        return found

    return handler


def _wrong(message: str) -> ApiError:
    return ApiError(400, "FAILED_PRECONDITION", message)


for _verb, _state in (("enable", "ENABLED"), ("disable", "DISABLED")):
    _path = f"{_VERSIONS}/{{version}}:{_verb}"
    route("secretmanager", "POST", _path, f"secretmanager.versions.{_verb}")(_switch(_state))
