"""Sends messages to people with apprise: Slack, mail, PagerDuty, webhooks and more (https://appriseit.com/services/).

The addresses of a contact are in an environment variable, such as RUNBOOK_NOTIFY_ON_CALL. They contain tokens, so they
are in no params file, no plan and no record.
"""

import logging
import os
import re

from runbook.config import Scan, address_variable, secrets_in
from runbook.data_file import text_of
from runbook.display import one_line, visible
from runbook.model import Refused

_CHAT = re.compile(r"\](?=\()|(?<!\w)@(?=\w)")


def deliver(contact: str, title: str, text: str) -> None:
    """Send a message to every address of a contact, as plain text. Raises Refused unless each service accepts it.

    apprise escapes what Slack, Telegram or Teams would read as markup, such as `<!channel>`. It leaves what Discord and
    Mattermost always read: mentions, and links with another text. These get a space.

    No service reports whether a person has read it.
    """
    import apprise

    # Its log may contain an address with its token.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    logging.getLogger("apprise").propagate = False
    addresses, named, scan = apprise.Apprise(), address_variable(contact), Scan(secrets_in(os.environ))
    if not os.environ.get(named, "").strip():
        raise Refused(**text_of(__file__, "no_address", contact=contact, named=named))
    if not addresses.add(os.environ[named]):
        raise Refused(**text_of(__file__, "not_supported", contact=contact, named=named))
    title, text = (_CHAT.sub(r"\g<0> ", scan.text(part)) for part in (one_line(title), visible(text)))
    if not addresses.notify(title=title, body=text, body_format="text"):
        services = ", ".join(sorted({str(one.service_name) for one in addresses}))
        raise Refused(**text_of(__file__, "not_accepted", contact=contact, services=services))
