"""A run, as a notebook drives it: `start` opens it, its verbs delegate to the packages before this one.

In: a notebook's parameters. Out: a report with the verdict and the next steps. Start with run.py.
"""
