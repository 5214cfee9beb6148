"""Runs schedules/airflow_dag.py in a real Airflow, against the sandbox. `make test-airflow` calls it with Airflow's own Python.

In one run of the DAG: ok and warn succeed, an alert fails once and is not tried again, unknown is tried twice.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCHEDULES = Path(__file__).parents[2] / "schedules"
# World → the state of its task, and how often the task was tried.
EXPECTED = {
    "healthy": ("success", 1),
    "bad_deploy": ("success", 1),  # warn
    "many_errors": ("failed", 1),  # alert
    "no_permission": ("failed", 2),  # unknown
}


def main() -> int:
    home = tempfile.mkdtemp(prefix="airflow-")
    runs = [["--env", "sandbox", "--world", world] for world in EXPECTED]
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
    os.environ |= {"AIRFLOW__CORE__DAGS_FOLDER": str(SCHEDULES), "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
    os.environ |= {"RUNBOOK_RUNS": json.dumps(runs), "RUNBOOK_RETRY_AFTER": "1", "RUNBOOK_RECORDS": f"{home}/records"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)

    spec = importlib.util.spec_from_file_location("airflow_dag", SCHEDULES / "airflow_dag.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = module.runbook_daily_check().test()
    found = {list(EXPECTED)[ti.map_index]: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
    records = list(Path(home).glob("records/*/*/runs/*/record.json"))
    print(json.dumps({"found": found, "records": len(records)}))
    return found != EXPECTED or len(records) != sum(tries for _, tries in EXPECTED.values())


if __name__ == "__main__":
    sys.exit(main())
