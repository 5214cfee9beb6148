"""The function of the drill: it fails in the way that `how` names, or writes one row into `etl_runs`."""

import json
import os
import sys
import time
from datetime import UTC, datetime

import functions_framework
from google.cloud import bigquery

ROW = {"source_system": "drill", "status": "success", "function_name": "runbook-drill"}


@functions_framework.http
def main(request):
    how, started = (request.get_json(silent=True) or {}).get("how", ""), datetime.now(UTC)
    if how == "memory":
        return len([bytearray(2**20) for _ in range(2000)])
    if how == "timeout":
        time.sleep(300)
    if how == "exit":
        os._exit(1)
    if how == "raise":
        raise KeyError("score_date")
    if how == "event":
        sys.stdout.write(json.dumps({"severity": "ERROR", "event": "batch 7 was refused"}) + "\n")
    sys.stderr.write("a line on stderr\n")
    times = {"started_at": started.isoformat(), "finished_at": datetime.now(UTC).isoformat()}
    bigquery.Client().load_table_from_json([ROW | times], "runbook_drill.etl_runs").result()
    return "ok"
