"""What is broken, why, and what to do about it: from facts to the P1 page (guide: Incident Response).

affected.py finds failing functions and what changed, diagnosis.py ranks causes by that and by phrases (causes.py,
patterns.yaml), headroom.py compares runs with limits, remedies.py names the runbook that fixes a cause
(fixes.yaml), page.py builds the page, and opened.py keeps which incidents are open. Start with page.py.
"""

from __future__ import annotations

from runbook.incidents.page import page, support_case
