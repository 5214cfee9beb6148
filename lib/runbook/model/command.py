"""The command line that runs a runbook."""

import shlex
from collections.abc import Mapping
from typing import Any


def command(runbook: str, values: Mapping[str, Any]) -> str:
    """The command that runs a runbook with these parameters. Empty parameters are left out."""
    words = ["runbook", "run", runbook]
    for name, value in values.items():
        if value != "":
            flag = {"environment": "--env", "world": "--world"}.get(name)
            words += [flag, str(value)] if flag else ["-p", f"{name}={value}"]
    return " ".join(shlex.quote(w) for w in words)
