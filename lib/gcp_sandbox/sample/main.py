"""gmail-sync: copy what is new in a mailbox to BigQuery, and write down how the run went.

With MOCK_MODE=1 the mailbox is a list and the tables are lists: no credentials, no network, no Google library.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

DATASET = os.environ.get("DATASET", "sales_intelligence")
MOCK_MESSAGES = [
    {"id": "m-1", "internalDate": "1773230400000"},
    {"id": "m-2", "internalDate": "1773234000000"},
    {"id": "m-2", "internalDate": "1773234000000"},  # Gmail may list a message twice
]
MOCK_TABLES: dict[str, list[dict[str, Any]]] = {}


def main(request: Any) -> tuple[dict[str, Any], int]:
    """The entry point: one run, answered with 200 or, after the failure is written down, 500."""
    started = datetime.now(UTC)
    try:
        rows = transform(read_messages())
        write("gmail_messages", rows)
    except Exception as error:  # noqa: BLE001  (whatever it is, the run failed and has to say so)
        write("etl_runs", [run_row(started, "failed", 0, f"{type(error).__name__}: {error}")])
        return {"status": "failed"}, 500
    write("etl_runs", [run_row(started, "success", len(rows), None)])
    return {"status": "success", "records": len(rows)}, 200


def transform(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """One row for each message, each once, in the order in which they were sent."""
    sent = {m["id"]: datetime.fromtimestamp(int(m["internalDate"]) / 1000, UTC) for m in messages}
    return [{"message_id": id_, "sent_at": at.isoformat()} for id_, at in sorted(sent.items(), key=lambda one: one[1])]


def run_row(started: datetime, status: str, records: int, error: str | None) -> dict[str, Any]:
    """The row of etl_runs that the team's checks read."""
    return {
        "run_id": f"gmail-sync-{started:%Y%m%d%H%M%S}",
        "source_system": "gmail",
        "function_name": "gmail-sync",
        "status": status,
        "started_at": started.isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
        "error_message": error,
        "records_written": records,
    }


def read_messages() -> list[dict[str, str]]:
    """The newest messages of the mailbox that GMAIL_OAUTH_TOKEN opens."""
    if mocked():
        return MOCK_MESSAGES
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build

    users = build("gmail", "v1", credentials=Credentials(os.environ["GMAIL_OAUTH_TOKEN"])).users()
    listed = users.messages().list(userId="me", q="newer_than:1d").execute().get("messages", [])
    return [users.messages().get(userId="me", id=m["id"], format="minimal").execute() for m in listed]


def write(table: str, rows: list[dict[str, Any]]) -> None:
    """Append rows to a table. Raises RuntimeError where BigQuery refuses any."""
    if mocked():
        MOCK_TABLES.setdefault(table, []).extend(rows)
        return
    from google.cloud import bigquery

    refused = bigquery.Client().insert_rows_json(f"{DATASET}.{table}", rows) if rows else []
    if refused:
        raise RuntimeError(f"{table}: {refused}")


def mocked() -> bool:
    """Whether this is a rehearsal."""
    return os.environ.get("MOCK_MODE") == "1"
