"""Every API of the sandbox, a module or a directory each: importing this package registers their routes.

In: requests of Google's clients. Out: answers in the format of Google's APIs; bigquery/ executes SQL on DuckDB. Two are
no APIs of Google's: feeds.py answers as status pages and as the web app do, inbox.py takes the messages to contacts.
Start with scheduler.py, which is small, then functions/ and run/.
"""

from gcp_sandbox.services import feeds, iam, inbox, monitoring, scheduler, secrets, storage  # noqa: F401
from gcp_sandbox.services.bigquery import api, document  # noqa: F401
from gcp_sandbox.services.functions import call, deploy, functions  # noqa: F401
from gcp_sandbox.services.logging import logging  # noqa: F401
from gcp_sandbox.services.run import run  # noqa: F401
