"""The command line `runbook`: each command prints what it did, where the record is, and what to do next.

In: command-line arguments. Out: text, and an exit code of `errors.Exit`. Start with main.py.
"""
