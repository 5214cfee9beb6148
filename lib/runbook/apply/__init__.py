"""The only package that changes Google Cloud: checks whether a plan may be applied, then makes its changes.

In: a plan, approvals, a secret's value. Out: an `Outcome`, and a journal entry before each write. Each action in
actions/ pairs a write with its read-back. ask.py sends the messages that ask for a signature, confirm.py has the
closing checks. Start with apply.py, which lists the steps.
"""
