"""The data that flows through a run: facts and gaps, findings and verdicts, plans, outcomes, reports, and errors.

Plain data and pure functions; nothing here reads or writes anything. What can be changed, action by action with typed
arguments, is in operations.py. Start with facts.py, then findings.py and plan.py.
"""
