"""Charts of facts: a title, units, the threshold drawn, and the same numbers as text for those who cannot see it.

In: a run and its facts. Out: a `Chart`, a PNG and its text form. daily.py, incident.py and changes.py each draw for
their runbooks. Start with base.py.
"""

from __future__ import annotations

from runbook.charts.changes import backups, revisions
from runbook.charts.daily import errors, etl_week, freshness, scores
from runbook.charts.incident import limits, timeline

__all__ = ["backups", "errors", "etl_week", "freshness", "limits", "revisions", "scores", "timeline"]
