"""What the sandbox contains: plain data that the caller takes from its own settings, checked on the way in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gcp_sandbox.wire import number


class Part(BaseModel):
    """Base of everything that is read from outside: an unknown key is an error, a value never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Function(Part):
    """One Cloud Function (gen2): `schedule` is cron in the inventory's time zone, `tables` are what it writes."""

    name: str
    source_system: str
    schedule: str
    tables: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    memory: str = "512Mi"
    timeout_s: int = 300
    runtime: str = "python311"


class Table(Part):
    """One table: column name → BigQuery type. `time_column` is the TIMESTAMP or DATE that tells how new a row is."""

    name: str
    columns: dict[str, str]
    time_column: str


class Inventory(Part):
    """A project: where it is, its functions and its tables. `runs` names the table of ETL runs.

    `columns_of_runs` maps the meaning (source_system, status, started_at; where the system has them also function,
    finished_at, error, records) to the column that holds it.
    """

    project: str
    region: str
    time_zone: str
    dataset: str
    backup_dataset: str
    functions: tuple[Function, ...]
    tables: tuple[Table, ...]
    runs: str
    columns_of_runs: dict[str, str]
    feeds: dict[str, str] = {}

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
        """The number that Google gives a project beside its id."""
        return str(100_000_000_000 + number("project", self.project, below=10**9))
