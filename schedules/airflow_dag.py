"""Airflow 3: a task for each list of arguments of `runbook run daily_check` in RUNBOOK_RUNS, which is JSON.

The PapermillOperator would report success for a run with an alert.
"""

import json
import os
import subprocess
from datetime import timedelta

import pendulum
from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

RUNS = json.loads(os.environ.get("RUNBOOK_RUNS", '[["--env", "production", "--scheduled"]]'))
# In seconds, before the only retry of a task.
PAUSE = timedelta(seconds=float(os.environ.get("RUNBOOK_RETRY_AFTER", "300")))


@dag(schedule="0 8 * * *", start_date=pendulum.datetime(2026, 1, 1, tz="America/Chicago"), catchup=False)
def runbook_daily_check():
    @task(retries=1, retry_delay=PAUSE)
    def check(words: list[str]) -> None:
        code = subprocess.run(["runbook", "run", "daily_check", *words], check=False).returncode
        if code in (2, 3, 5):  # bad input, an alert or a refusal: a retry would end in the same way
            raise AirflowFailException(f"exit code {code}")
        if code:
            raise AirflowException(f"exit code {code}")

    check.expand(words=RUNS)


runbook_daily_check()
