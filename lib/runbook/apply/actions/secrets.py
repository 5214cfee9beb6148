"""Versions of a secret (https://cloud.google.com/secret-manager/docs/reference/rest)."""

import base64

from runbook.apply.actions.base import Action, Change, Cloud, Observation, SecretValue, Send, side


def _secret(cloud: Cloud, name: str) -> str:
    return f"projects/{cloud.settings.project}/secrets/{name}"


def _observe_version(cloud: Cloud, change: Change) -> Observation:
    """Whether the new version exists. Secret Manager never reuses a version number."""
    found = cloud.items("secretmanager", f"v1/{_secret(cloud, change.args.secret)}/versions", "versions", pageSize=100)
    newest = max((int(v["name"].rsplit("/", 1)[1]) for v in found), default=0)
    return side(newest, change, f"newest is version {newest}", {"newest": newest})


def _do_version(send: Send, cloud: Cloud, change: Change, observed: Observation, secret_value: SecretValue) -> None:
    import google_crc32c

    value = secret_value.secret()
    payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": str(google_crc32c.value(value))}
    name = _secret(cloud, change.args.secret)
    send("POST", f"https://secretmanager.googleapis.com/v1/{name}:addVersion", {"payload": payload})


def _observe_state(cloud: Cloud, change: Change) -> Observation:
    found = cloud.get("secretmanager", f"v1/{_secret(cloud, change.args.secret)}/versions/{change.args.version}")
    return side(found.get("state"), change, str(found.get("state")), found)


def _do_state(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    verb = "disable" if change.args.after == "DISABLED" else "enable"
    name = f"{_secret(cloud, change.args.secret)}/versions/{change.args.version}"
    send("POST", f"https://secretmanager.googleapis.com/v1/{name}:{verb}", {"etag": observed.data.get("etag", "")})


ACTIONS = {
    "add secret version": Action(_observe_version, _do_version),
    "set version state": Action(_observe_state, _do_state),
}
