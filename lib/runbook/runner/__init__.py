"""Runs a notebook unattended, so that record, notebook and exit code always agree.

In: a runbook and values as typed. Out: a `RunResult` and the run's folder. kernel.py is the process of the cells,
execution.py runs them, execute.py writes the record, engine.py is papermill's entry point. alerts.py has the line for
Cloud Logging and the messages about alerts, fleet.py runs many environments. Start with run.py.
"""
