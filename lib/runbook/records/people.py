"""The person who plans and applies on this machine."""

from __future__ import annotations

import getpass
import os


def person() -> str:
    """The person who plans and applies on this machine: RUNBOOK_PERSON, or the current user."""
    return os.environ.get("RUNBOOK_PERSON") or user()


def user() -> str:
    """The name of the current user, or the user id: in a container, a user may have no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
