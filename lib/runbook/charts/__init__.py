"""Charts of facts: a title, units, the threshold as a line, and the same numbers as text for accessibility.

In: a run and its facts. Out: a `Chart`, which is a PNG and its text form. daily.py has the charts of the daily
check and of changes, incident.py those of the P1 page. Start with base.py.
"""

from runbook.charts.daily import backups, errors, etl_week, freshness, revisions, scores
from runbook.charts.incident import limits, timeline
