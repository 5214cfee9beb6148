"""The command line `runbook`: each command says what it did, where the record is, and what to do next.

In: words at a terminal. Out: text, and an exit code by `errors.Exit`. Start with main.py.
"""
