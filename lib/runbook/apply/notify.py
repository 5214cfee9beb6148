"""Messages to people, by apprise: Slack, mail, PagerDuty, a webhook and a hundred others (https://appriseit.com/services/).

Where a contact is reached stands in an environment variable, such as RUNBOOK_NOTIFY_ON_CALL: addresses hold tokens, so
they are in no params file, no plan and no record.
"""

from __future__ import annotations

import logging
import os

from runbook.config.schema import address_variable
from runbook.model.errors import Refused


def deliver(contact: str, title: str, text: str) -> None:
    """Send a message to every address of a contact. Raises Refused unless each service accepted it.

    Accepted is not read: no service tells that.
    """
    import apprise

    # What it logs may repeat an address, with its token.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    logging.getLogger("apprise").propagate = False
    addresses, named = apprise.Apprise(), address_variable(contact)
    if not os.environ.get(named, "").strip():
        raise Refused(f"{contact} was not told", f"{named} is not set on this machine", next="tell them yourself.")
    if not addresses.add(os.environ[named]):
        raise Refused(
            f"{contact} was not told",
            f"{named} holds an address that apprise does not know",
            next="tell them yourself; mend the variable.",
        )
    if not addresses.notify(title=title, body=text):
        services = ", ".join(sorted({str(one.service_name) for one in addresses}))
        raise Refused(f"{contact} was not told", f"not accepted by each of: {services}", next="tell them yourself.")
