"""What is broken, why, and what to do about it: from facts to the P1 page (guide: Incident Response).

affected.py finds functions that do not work, diagnosis.py ranks causes by phrases (patterns.yaml) and timing,
headroom.py compares with limits, remedies.py names the runbook that helps, page.py puts it together. Start there.
"""

from __future__ import annotations

from runbook.incidents.page import page, support_case

__all__ = ["page", "support_case"]
