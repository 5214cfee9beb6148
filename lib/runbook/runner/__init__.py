"""How a notebook is run unattended so that record, notebook and exit code tell the same truth.

In: a runbook and values as they were typed. Out: a `RunResult` and the run's folder. kernel.py is the process of the
cells, execution.py runs them, execute.py keeps the record, engine.py is papermill's way in. Start with run.py.
"""
