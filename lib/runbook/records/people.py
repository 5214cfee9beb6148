"""The person who plans and applies on this machine."""

from __future__ import annotations

import getpass
import os
from contextlib import suppress


def person() -> str:
    """The person who plans and applies on this machine: RUNBOOK_PERSON, or the current user."""
    return os.environ.get("RUNBOOK_PERSON") or user()


def user() -> str:
    """The name of the current user, or the user id: in a container, a user may have no name."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())
