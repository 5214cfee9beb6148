"""Charts of facts: a title, units, the threshold as a line, and the same numbers as text for accessibility.

In: a run and its facts. Out: a `Chart`, which is a PNG and its text form. daily.py, incident.py and changes.py have the
charts of their runbooks. Start with base.py.
"""

from __future__ import annotations

from runbook.charts.changes import backups, revisions
from runbook.charts.daily import errors, etl_week, freshness, scores
from runbook.charts.incident import limits, timeline
