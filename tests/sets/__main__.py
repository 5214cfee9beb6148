"""Print what sets score now, together, and what is not right."""

from __future__ import annotations

import sys

from tests.sets import SETS, cases, judge, summary

judged = [judge(path) for name in sys.argv[1:] or SETS for path in cases(name)]
sys.stdout.write(summary(judged) + "\n")
for one in judged:
    if not (one.first and one.severity) or one.sure_but_wrong:
        sys.stdout.write(f"{one.name}: {one.cause or 'healthy'}; said: {one.said or 'nothing'}\n")
