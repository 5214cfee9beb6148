"""Kinds of failures (a world's `kind:`), with the messages of Google, Salesforce and HubSpot.

In some failures, the function ends its run and logs the error. In others, the platform stops it: the function logs
nothing more, its run never ends, and only the platform logs. And in some, the call never reaches the function: no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gcp_sandbox.world.inventory import Function

NOT_ENDED = "The run did not report an end; marked by the run after it."
_RUN = "https://cloud.google.com/run/docs"

_CRASHED = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an error. "
    f"Additional troubleshooting documentation can be found at: {_RUN}/troubleshooting"
    "#malformed-response-or-connection-error"
)

_UNAUTHENTICATED = (
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper Authorization "
    f"header. Read more at {_RUN}/securing/authenticating Additional troubleshooting documentation can be found at: "
    f"{_RUN}/troubleshooting#unauthorized-client"
)

_TRACEBACK = """Exception on / [POST]
Traceback (most recent call last):
  File "/layers/google.python.pip/pip/lib/python3.11/site-packages/flask/app.py", line 1511, in wsgi_app
    response = self.full_dispatch_request()
  File "/workspace/main.py", line 41, in main
    rows = [row["{column}"] for row in fetched]
KeyError: '{column}'"""

# google.rpc.Code of a scheduler's job → HTTP status of the answer that it got.
HTTP = {0: 200, 4: 504, 5: 404, 7: 403, 8: 429, 13: 500, 14: 503}


class Line(NamedTuple):
    """A line that the platform logs; `payload` names the log (services/logging/)."""

    text: str
    severity: str = "ERROR"
    payload: str = "system"


@dataclass(frozen=True)
class Kind:
    """`error` is the function's own, for each source system ("" is any other); `code` what its scheduler job gets."""

    outcome: str = "failed"
    error: dict[str, str] | str = ""
    lines: tuple[Line, ...] = ()
    code: int = 13
    cure: str = ""
    whole_time: bool = False

    def words(self, function: Function) -> str:
        """The error message of the service that the function calls; "" if the function logs nothing."""
        if isinstance(self.error, str):
            return self.error
        return self.error.get(function.source_system, self.error[""])


KINDS: dict[str, Kind] = {
    "memory": Kind(
        outcome="running",
        lines=(
            Line(
                "Memory limit of {mib} MiB exceeded with {used} MiB used. Consider increasing the memory limit, see "
                f"{_RUN}/configuring/memory-limits"
            ),
            Line("Container terminated on signal 9.", "WARNING"),
            Line(_CRASHED, payload="request"),
        ),
        code=14,
        cure="memory",
    ),
    "timeout": Kind(
        outcome="running",
        lines=(
            Line(
                "The request has been terminated because it has reached the maximum request timeout. To change this "
                f"limit, see {_RUN}/configuring/request-timeout",
                payload="request",
            ),
        ),
        code=4,
        cure="timeout",
        whole_time=True,
    ),
    "crash": Kind(
        outcome="running",
        lines=(Line("Container called exit(1).", "WARNING"), Line(_CRASHED, payload="request")),
        code=14,
        cure="code",
    ),
    "exception": Kind(
        outcome="running",
        lines=(Line(_TRACEBACK, "DEFAULT", "stderr"), Line("", payload="request")),
        cure="code",
    ),
    "stuck": Kind(
        outcome="running",
        lines=(Line("Run {first} is still in progress; this call did nothing.", "WARNING", "text"),),
        code=0,
    ),
    "capacity": Kind(
        outcome="skipped",
        lines=(
            Line(
                "The request was aborted because there was no available instance. Additional troubleshooting "
                f"documentation can be found at: {_RUN}/troubleshooting#abort-request",
                payload="request",
            ),
        ),
        code=8,
    ),
    "unauthenticated": Kind(outcome="skipped", lines=(Line(_UNAUTHENTICATED, payload="request"),), code=7),
    "gone": Kind(outcome="skipped", code=5),
    # The region does not answer, so nothing logs a line.
    "silence": Kind(outcome="skipped", code=14),
    "auth": Kind(
        error={
            "": "google.auth.exceptions.RefreshError: ('invalid_grant: Token has been expired or revoked.', "
            "{{'error': 'invalid_grant', 'error_description': 'Token has been expired or revoked.'}})",
            "salesforce": "SalesforceExpiredSession: Expired session for {system} REST call. Response content: "
            "[{{'message': 'Session expired or invalid', 'errorCode': 'INVALID_SESSION_ID'}}]",
            "hubspot": '401 Unauthorized: {{"status":"error","message":"Authentication credentials not found. This API '
            'supports OAuth 2.0 authentication.","category":"INVALID_AUTHENTICATION"}}',
        },
        cure="secret",
    ),
    "secret": Kind(
        error="google.api_core.exceptions.FailedPrecondition: 400 Secret Version "
        "[projects/{project_number}/secrets/{secret}/versions/{version}] is in {state} state.",
        cure="enabled",
    ),
    "permission": Kind(
        error={
            "": "google.api_core.exceptions.Forbidden: 403 Access Denied: Table {project}:{dataset}.{table}: "
            "Permission bigquery.tables.{verb} denied on table {project}:{dataset}.{table} (or it may not exist).",
            "vertex_ai": "google.api_core.exceptions.PermissionDenied: 403 Permission 'aiplatform.endpoints.predict' "
            "denied on resource '//aiplatform.googleapis.com/projects/{project}/locations/{region}/endpoints/{n}' "
            "(or it may not exist).",
        },
    ),
    "quota_seconds": Kind(
        error={
            "": "google.api_core.exceptions.ResourceExhausted: 429 RESOURCE_EXHAUSTED: Quota exceeded for quota metric "
            "'Queries' and limit 'Queries per minute' of service '{service}' for consumer "
            "'project_number:{project_number}'.",
            "hubspot": "429 Too Many Requests: You have reached your ten_secondly_rolling limit. (RATE_LIMITS, policy "
            "TEN_SECONDLY_ROLLING)",
            "internal": "403 Exceeded rate limits: too many table update operations for this table. "
            "(rateLimitExceeded)",
        },
    ),
    "quota_hours": Kind(
        error={
            "": "google.api_core.exceptions.ResourceExhausted: 429 RESOURCE_EXHAUSTED: Quota exceeded for quota metric "
            "'Queries' and limit 'Queries per day' of service '{service}' for consumer "
            "'project_number:{project_number}'.",
            "salesforce": "SalesforceRefusedRequest: [{{'message': 'TotalRequests Limit exceeded.', 'errorCode': "
            "'REQUEST_LIMIT_EXCEEDED'}}]: REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.",
            "hubspot": "429 Too Many Requests: You have reached your daily limit. (RATE_LIMITS, policy DAILY)",
            "internal": "403 Quota exceeded: Your table exceeded quota for imports or query appends per table. "
            "(quotaExceeded)",
        },
    ),
    "bad_data": Kind(
        error="google.api_core.exceptions.BadRequest: 400 Error while reading data, error message: JSON table "
        "encountered too many errors, giving up. Rows: {rows}; errors: 1. Could not convert value 'string_value: "
        '"n/a"\' to timestamp. Field: {column}; Value: n/a'
    ),
    "schema": Kind(
        error="google.api_core.exceptions.BadRequest: 400 Error while reading data, error message: JSON parsing error "
        "in row starting at position 0: No such field: {missing}. Table: {project}:{dataset}.{table}"
    ),
    "dependency": Kind(
        error={
            "": 'googleapiclient.errors.HttpError: <HttpError 503 when requesting https://{service}/ returned "The '
            'service is currently unavailable.". Details: "backendError">',
            "salesforce": "503 Service Unavailable for url: https://acme.my.salesforce.com/services/data/v60.0/query",
            "hubspot": "502 Server Error: Bad Gateway for url: https://api.hubapi.com/crm/v3/objects/search",
        },
    ),
}


def mebibytes(memory: str) -> int:
    """512 of "512Mi", 1024 of "1Gi"."""
    return int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]]
