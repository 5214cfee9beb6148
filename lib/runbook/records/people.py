"""Who works here: the person who plans and applies, and the system's user and host."""

import getpass
import os
import re
import socket
from contextlib import suppress

from runbook.model import BadInput

PERSON = "[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}"


def person() -> str:
    """The person who plans and applies on this machine: RUNBOOK_PERSON, or the current user.

    Raises BadInput for letters that may look like those of another name.
    """
    name = os.environ.get("RUNBOOK_PERSON") or user()
    if not re.fullmatch(PERSON, name):  # letters that look alike would be another person
        hint = "set RUNBOOK_PERSON to your user name: letters, digits and . _ + @ -"
        raise BadInput(f"{name!r} cannot be the name of a requester or approver", next=hint)
    return name


def user() -> str:
    """The name of the current user, or the user id: in a container, a user may have no name."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def account() -> str:
    """The current user and this host, as user@host."""
    return f"{user()}@{socket.gethostname()}"
