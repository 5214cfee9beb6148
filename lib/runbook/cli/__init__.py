"""The command line `runbook`: each command prints what it did, where the record is, and what to do next.

In: command-line arguments. Out: text, and an exit code of `errors.Exit`. Start with main.py. For a real project:
init.py drafts its params, roles.py prints the roles that it needs, compare.py compares Google's answers with recorded
ones. The other files are their data.
"""
