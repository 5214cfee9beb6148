"""An alert of Cloud Monitoring as the parameters of a run: an incident, and when it began."""

import json
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.config import load_settings
from runbook.data_file import text_of
from runbook.model import BadInput, Moment


def incident_of(alert: str, environment: str) -> dict[str, str]:
    """The `incident` and `detected_at` of an alert: a file, or its text; also within a message of Pub/Sub.

    Raises BadInput for what is no open alert of this environment's project. The fields are those of version 1.2:
    https://cloud.google.com/monitoring/support/notification-options#webhooks
    """
    system = load_settings(environment)
    try:
        text = alert if alert.lstrip().startswith("{") else Path(alert).read_text(encoding="utf-8")
        payload: Any = json.loads(text)
        with suppress(KeyError, TypeError):
            payload = json.loads(b64decode(payload["message"]["data"]))
        said = payload["incident"]
        began = datetime.fromtimestamp(int(said["started_at"]), UTC)
        name, state, project = (str(said[key]) for key in ("incident_id", "state", "scoping_project_id"))
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise BadInput(**text_of(__file__, "no_alert", why=f"{type(error).__name__}: {error}"[:200])) from None
    if state.lower() != "open":
        raise BadInput(**text_of(__file__, "alert_over", state=state))
    if project != system.project:
        raise BadInput(**text_of(__file__, "alert_elsewhere", project=project, system=system))
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:40]
    return {"incident": f"INC-{safe}", "detected_at": Moment(began, system.zone).parameter(began)}
