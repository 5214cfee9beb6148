"""What is broken, why, and what to do about it: from facts to the P1 page (guide: Incident Response).

affected.py finds failing functions with their texts and what changed; texts/ says which causes the texts tell. case.py
(by state, with what confirms or contradicts) and diagnosis.py (by text) are the rules, severity.py also looks behind
green runs. headroom.py (runs against limits), remedies.py (fixes.yaml) and recovery.py (data that is short) follow;
page.py builds the page with answer.py, and works.py the daily check's finding. Start with page.py.
"""

from runbook.incidents.page import page, support_case
from runbook.incidents.works import works_now
