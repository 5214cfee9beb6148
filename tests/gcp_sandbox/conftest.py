"""A small inventory, and the real Google clients on the sandbox in this process."""

from __future__ import annotations

from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess

PROJECT = "acme-test"
INVENTORY: dict[str, Any] = {
    "project": PROJECT,
    "region": "us-central1",
    "time_zone": "America/Chicago",
    "dataset": "sales_intelligence",
    "backup_dataset": "sales_intelligence_backup",
    "functions": [
        {
            "name": "gmail-sync",
            "source_system": "gmail",
            "schedule": "5 * * * *",
            "tables": ["gmail_messages"],
            "secrets": ["gmail-oauth-token"],
        },
        {"name": "calendar-sync", "source_system": "calendar", "schedule": "20 */2 * * *"},
        {
            "name": "salesforce-accounts-sync",
            "source_system": "salesforce",
            "schedule": "0 5,11,17 * * *",
            "tables": ["sf_accounts"],
            "secrets": ["salesforce-client-id", "salesforce-client-secret"],
        },
        {"name": "hubspot-contacts-sync", "source_system": "hubspot", "schedule": "10 5,11,17 * * *"},
        {
            "name": "account-scoring",
            "source_system": "scoring",
            "schedule": "30 7 * * *",
            "tables": ["account_recommendations"],
            "memory": "1Gi",
            "timeout_s": 540,
        },
    ],
    "tables": [
        {
            "name": "gmail_messages",
            "columns": {"message_id": "STRING", "sent_at": "TIMESTAMP"},
            "time_column": "sent_at",
        },
        {
            "name": "sf_accounts",
            "columns": {"account_id": "STRING", "last_modified_date": "TIMESTAMP"},
            "time_column": "last_modified_date",
        },
        {
            "name": "account_recommendations",
            "columns": {"account_id": "STRING", "score_date": "DATE", "score": "FLOAT64"},
            "time_column": "score_date",
        },
    ],
    "runs": "etl_runs",
    "columns_of_runs": {
        "source_system": "source_system",
        "status": "status",
        "started_at": "started_at",
        "function": "function_name",
        "finished_at": "finished_at",
        "error": "error_message",
        "records": "records",
    },
    "feeds": {"google": "https://status.cloud.google.com/incidents.json"},
}


@pytest.fixture
def session():
    """A function `session(world)` → an authorised requests session whose every request the sandbox answers."""

    def make(world: str = "healthy", **changes: Any) -> AuthorizedSession:
        made = AuthorizedSession(AnonymousCredentials())
        made.mount("https://", InProcess(gcp_sandbox.app({**INVENTORY, **changes}, world)))
        return made

    return make


class Cloud:
    """One sandbox and the clients on it: `cloud(FunctionServiceClient)`, `cloud.bigquery`, `cloud.session`."""

    def __init__(self, session: AuthorizedSession):
        self.session = session
        self.bigquery = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(), _http=session)

    def __call__(self, kind: Any) -> Any:
        transport = kind.get_transport_class("rest")(credentials=AnonymousCredentials())
        sessions = [transport._session]
        if hasattr(type(transport), "operations_client"):
            # Operations are polled over a session of their own.
            sessions.append(transport.operations_client._transport._session)
        for made in sessions:
            made.mount("https://", self.session.get_adapter("https://"))
        return kind(transport=transport)

    def rows(self, sql: str) -> list[tuple]:
        """What a query answers."""
        return [row.values() for row in self.bigquery.query_and_wait(sql, retry=None, job_retry=None)]


@pytest.fixture
def cloud(session):
    """A function `cloud(world)` → several clients on one sandbox."""
    return lambda world="healthy", **changes: Cloud(session(world, **changes))


@pytest.fixture
def client(cloud):
    """A function `client(Client, world)` → one of Google's generated clients over REST, on a sandbox of its own."""
    return lambda kind, world="healthy", **changes: cloud(world, **changes)(kind)


def polled(operation: Any) -> Any:
    """Wait for an operation by polling it, and return its result; it is done at the third poll, and not before."""
    assert [operation.done(), operation.done(), operation.done()] == [False, False, True]
    return operation.result(timeout=0)


@pytest.fixture
def told(tmp_path):
    """A function `told(yaml)` → the path of a world file that says just that, at the healthy world's moment."""

    def write(text: str, now: str = "2026-03-11T13:30:00Z") -> str:
        path = tmp_path / f"told-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(f"about: a test\nnow: {now}\n{text}\n", encoding="utf-8")
        return str(path)

    return write
