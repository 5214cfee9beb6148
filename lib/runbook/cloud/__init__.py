"""Access to Google Cloud, or to the sandbox in its place. Every request passes one guard.

In: `Settings`. Out: a `Cloud` with read-only clients, and gaps for errors. Only this package imports `requests` or
Google's clients; facts/ and apply/ know Google's exceptions. Start with guard.py and the
reads that it allows (reads.yaml), then client.py.
"""

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead, gap, is_json
from runbook.cloud.query import Absent, BadColumn, Value, select
