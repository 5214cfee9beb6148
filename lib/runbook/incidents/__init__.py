"""What is broken, why, and what to do about it: from facts to the P1 page (guide: Incident Response).

affected.py finds failing functions with their texts and what changed; signatures.py reads a text (forms.yaml), codes.py
finds its cause (codes/*.yaml, phrases.yaml), weighing.py ranks what all texts tell. case.py and diagnosis.py are the
rules, context.py confirms or contradicts, data_age.py looks behind green runs. severity.py, headroom.py (runs against
limits) and remedies.py (fixes.yaml) follow, and page.py builds the page. Start with page.py.
"""

from __future__ import annotations

from runbook.incidents.page import page, support_case
