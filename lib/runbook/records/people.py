"""Who plans and applies here."""

from __future__ import annotations

import getpass
import os


def person() -> str:
    """Who plans and applies here: RUNBOOK_PERSON, or this machine's user."""
    return os.environ.get("RUNBOOK_PERSON") or user()


def user() -> str:
    """The name of this machine's user, or the number: in a container a user may have no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
