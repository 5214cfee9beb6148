"""A run as a notebook drives it: `start` opens it, and its verbs call the other directories.

In: a notebook's parameters. Out: a report with the verdict and the next steps. Start with run.py.
"""
