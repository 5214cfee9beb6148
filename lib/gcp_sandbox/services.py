"""Every API of the sandbox: importing its module registers its routes."""

from gcp_sandbox import call, deploy, feeds, functions, iam, inbox, logging, operations, run, scheduler, secrets  # noqa: F401
from gcp_sandbox.bigquery import api, document  # noqa: F401
