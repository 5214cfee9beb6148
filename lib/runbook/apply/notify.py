"""Sends messages to people with apprise: Slack, mail, PagerDuty, webhooks and more (https://appriseit.com/services/).

The addresses of a contact are in an environment variable, such as RUNBOOK_NOTIFY_ON_CALL. They contain tokens, so they
are in no params file, no plan and no record.
"""

import logging
import os

from runbook.config import Scan, address_variable, secrets_in
from runbook.data_file import text_of
from runbook.display import one_line, visible
from runbook.model.errors import Refused


def deliver(contact: str, title: str, text: str) -> None:
    """Send a message to every address of a contact, as plain text. Raises Refused unless each service accepts it.

    apprise escapes what a service would read as markup, such as `<!channel>` or a link with another text in Slack.

    No service reports whether a person has read it.
    """
    import apprise

    # Its log may contain an address with its token.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    logging.getLogger("apprise").propagate = False
    addresses, named = apprise.Apprise(), address_variable(contact)
    if not os.environ.get(named, "").strip():
        raise Refused(**text_of(__file__, "no_address", contact=contact, named=named))
    if not addresses.add(os.environ[named]):
        raise Refused(**text_of(__file__, "not_supported", contact=contact, named=named))
    title, text = map(Scan(secrets_in(os.environ)).text, (one_line(title), visible(text)))
    if not addresses.notify(title=title, body=text, body_format="text"):
        services = ", ".join(sorted({str(one.service_name) for one in addresses}))
        raise Refused(**text_of(__file__, "not_accepted", contact=contact, services=services))
