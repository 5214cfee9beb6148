"""The contents of the sandbox: plain data from the caller's own settings, validated."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gcp_sandbox.wire import number


class Part(BaseModel):
    """Base of all external data: an unknown key is an error, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Function(Part):
    """One Cloud Function (gen2): `schedule` is cron in the inventory's time zone, `tables` are what it writes.

    `service` and `job` name its Cloud Run service and its scheduler job, where Google's or the team's names differ.
    """

    name: str
    source_system: str
    schedule: str
    tables: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    memory: str = "512Mi"
    timeout_s: int = 300
    runtime: str = "python311"
    service: str = ""
    job: str = ""


class Table(Part):
    """One table: column name → BigQuery type. `time_column` is the TIMESTAMP or DATE that gives the age of a row."""

    name: str
    columns: dict[str, str]
    time_column: str


class Inventory(Part):
    """A project: its location, functions and tables. `runs` names the table of ETL runs.

    `location` is that of the datasets, such as US; "" is the region.

    `columns_of_runs` maps the meaning (source_system, status, started_at; if the system has them, also function,
    finished_at, error, records) to the column name.
    """

    project: str
    region: str
    time_zone: str
    dataset: str
    backup_dataset: str
    location: str = ""
    functions: tuple[Function, ...]
    tables: tuple[Table, ...]
    runs: str
    columns_of_runs: dict[str, str]
    feeds: dict[str, str] = {}
    web_app: str = ""  # the URL of its page

    def job(self, function: str) -> str:
        """The name of a function's scheduler job."""
        return next((f.job for f in self.functions if f.name == function and f.job), function)

    @property
    def place(self) -> str:
        """The region in the names of resources."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def account(self) -> str:
        """The service account that every function runs as."""
        return f"etl-runner@{self.project}.iam.gserviceaccount.com"

    @property
    def project_number(self) -> str:
        """The project number."""
        return str(100_000_000_000 + number("project", self.project, below=10**9))
