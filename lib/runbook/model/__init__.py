"""The data that flows through a run: facts and gaps, findings and verdicts, plans, outcomes, reports, and errors.

Plain data and pure functions: no reads and no writes. actions.py lists what can be changed, one class with typed
arguments for each action. Start with facts.py, then findings.py and plan.py.
"""
