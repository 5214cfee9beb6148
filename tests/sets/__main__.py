"""Print what sets score now, together, and what is not right."""

from __future__ import annotations

import sys

from runbook.incidents.texts.codes import rows
from tests.sets import SETS, cases, judge, summary

hints, unconfirmed = (sum(getattr(row, name) for row in rows()) for name in ("hint", "unconfirmed"))
sys.stdout.write(f"tables: {len(rows()):,} rows, {hints:,} hints, {unconfirmed} unconfirmed\n")
judged = [judge(path) for name in sys.argv[1:] or SETS for path in cases(name)]
sys.stdout.write(summary(judged) + "\n")
for one in judged:
    if not (one.first and one.severity) or one.sure_but_wrong:
        sys.stdout.write(f"{one.name}: {one.cause or 'healthy'}; said: {one.said or 'nothing'}\n")
