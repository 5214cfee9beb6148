"""The only place that writes: whether an approved plan may be applied, then one change after the other.

In: a plan, approvals, a secret's value. Out: an `Outcome`, and a journal written before each write. Each action
in actions/ is a write beside its read-back. Start with apply.py, which reads as the steps to a decision.
"""
