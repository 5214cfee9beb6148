"""The settings of a system: params/<environment>.yaml, validated before the first request to a cloud.

The classes below document the keys of the file. Everything that becomes part of SQL or a URL is an identifier that is
validated here; values are passed as query parameters.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim
from pydantic import AfterValidator, Field, model_validator

from runbook.config.signatures import Signature, checked
from runbook.config.thresholds import Thresholds
from runbook.model.operations import Rule
from runbook.model.strict import Name, Part, Positive, words


def record_place(text: str) -> str:
    """The path of a directory, or gs://bucket or gs://bucket/prefix. Raises ValueError for any other URL."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text) and not _BUCKET.fullmatch(text):
        raise ValueError("is neither the path of a directory nor gs://bucket/prefix")
    return text


_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9_.-]*){0,8}/?")
ProjectId = words(r"^([a-z0-9.-]+\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$")  # old projects begin with "example.com:"
Location = words(r"^[a-z]+(-[a-z]+\d+)?$")
Identifier = words(r"^[A-Za-z_][A-Za-z0-9_]{0,299}$")
OptionalIdentifier = words(r"^([A-Za-z_][A-Za-z0-9_]{0,299})?$")
FunctionName = words(r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")
JobName = words(r"^[A-Za-z0-9_-]{0,500}$")
OptionalName = words(r"^([a-z][a-z0-9-]{0,62})?$")
Phone = words(r"^(\+?[0-9][0-9 ()./-]{2,30})?$")
Channel = words(r"^([#@]?[A-Za-z0-9][A-Za-z0-9 ._-]{0,79})?$")
Link = words(r"^(https://[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?(/[A-Za-z0-9_.~%/?=&#+:@,-]*)?)?$")
Account = words(r"^([a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com)?$")
Clock = words(r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")
Zone = checked(ZoneInfo, "is not an IANA time zone, such as America/Chicago")
Cron = checked(lambda text: CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)), "is not a valid cron schedule: {}")


class Datasets(Part):
    main: Identifier
    backup: Identifier


def service_of(function: str) -> str:
    """The name that Google gives the Cloud Run service of a function."""
    return function.lower().replace("_", "-")


class Function(Part):
    """A function that must exist; `schedule` is cron in the team's time zone, `timeout_s` seconds.

    `service` is its Cloud Run service ("": its name in lower case, with `-` for `_`), `job` the scheduler job that runs
    it ("": the job with its name). What jobs do is read by their target URLs, too. `repeat`: whether a second run is
    harmless (only then may one person alone retry it in a P1), needs a signature, or must never be started by hand.
    `after`: the functions whose data it reads.
    """

    name: FunctionName
    source_system: str
    schedule: Cron
    tables: list[Identifier] = Field([])
    secrets: list[str] = Field([])
    memory: str = "512Mi"
    timeout_s: int = 300
    service: OptionalName = ""
    job: JobName = ""
    repeat: Literal["safe", "asks", "never"] = "asks"
    after: list[FunctionName] = Field([])

    # Its Cloud Run service, named as Google names it unless params say otherwise.
    service_name = property(lambda self: self.service or service_of(self.name))

    # Its scheduler job.
    job_name = property(lambda self: self.job or self.name)


class EtlRuns(Part):
    """The table of ETL runs: the columns in the guide, and optional columns ("" if the system has none)."""

    name: Identifier
    source_system: Identifier
    status: Identifier
    started_at: Identifier
    error: OptionalIdentifier = ""
    function: OptionalIdentifier = ""
    finished_at: OptionalIdentifier = ""
    records: OptionalIdentifier = ""


class Scores(Part):
    """The table of account scores and its DATE column."""

    name: Identifier
    date: Identifier


class Freshness(Part):
    """A table whose newest `column` (TIMESTAMP) may be at most `limit_hours` hours old."""

    name: Identifier
    column: Identifier
    limit_hours: Positive


class Tables(Part):
    etl_runs: EtlRuns
    scores: Scores
    freshness: list[Freshness]


class Window(Part):
    """A preferred time: `days` of the week, from `start` to `end` in the team's time zone."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]
    start: Clock
    end: Clock

    @property
    def text(self) -> str:
        """The window in words."""
        return f"{'every day' if len(self.days) == 7 else ', '.join(self.days)} from {self.start} to {self.end}"


class Roles(Part):
    """Role → those of its permissions that runbooks need; `ask` is the contact who grants roles.

    `entitlements`: elevated role → its entitlement in Privileged Access Manager, where there is one.
    """

    required: dict[str, list[str]]
    elevated: dict[str, list[str]]
    ask: Name
    entitlements: dict[str, Name] = Field({})


class Contact(Part):
    """Whom to reach for what. `phone`, `channel` (of a chat) and `link` (a page that calls them) say how."""

    who: str
    when: str
    phone: Phone = ""
    channel: Channel = ""
    link: Link = ""

    # How to reach them, in the order in which somebody in a hurry tries it.
    how = property(lambda self: ", ".join(filter(None, (self.phone, self.channel, self.link))))


class WebApp(Part):
    """What people see of the data. `url` is asked without credentials: well is 200, and 401 or 403 to ask to sign in.

    `service` is its Cloud Run service in the region; `reads` are the tables of the main dataset that it shows.
    """

    name: Name
    url: Link = ""
    service: OptionalName = ""
    reads: list[Identifier] = Field([])


class Settings(Part):
    """All of params/<environment>.yaml. Sizes in GiB, times in the team's `time_zone`.

    `records_shared`: every machine that may apply a change uses this same records directory. `staging`: the environment
    in which changes are tested first, "" if there is none. `web_app`: only if there is one.
    `read_as` and `apply_as` are service accounts, whose
    short-lived credentials every run on Google takes for its reads, and for its writes; "" for a person's own.
    `alert_contacts`: whom a run on a schedule notifies of an alert, and of its end.
    """

    environment: Name
    project: ProjectId
    region: Location
    time_zone: Zone
    records: Annotated[str, AfterValidator(record_place)]
    records_shared: bool = False
    staging: OptionalName = ""
    read_as: Account = ""
    apply_as: Account = ""
    cost_cap_gib: Positive
    datasets: Datasets
    functions: Annotated[list[Function], Field(min_length=1)]
    tables: Tables
    thresholds: Thresholds
    feeds: dict[Name, str]
    web_app: WebApp | None = None
    windows: dict[str, Window]
    operations: dict[str, Rule]
    roles: Roles
    contacts: dict[Name, Contact]
    alert_contacts: list[Name] = Field([])
    signatures: list[Signature] = Field([])

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [f.name for f in self.functions]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"functions: duplicate names: {', '.join(sorted(twice))}")
        if missing := {name for f in self.functions for name in f.after} - set(names):
            raise ValueError(f"functions: after: not under functions: {', '.join(sorted(missing))}")
        for name, operation in self.operations.items():
            if operation.window and operation.window not in self.windows:
                raise ValueError(f"operations.{name}.window: {operation.window} is not under windows")
            contacts = "contacts", self.contacts
            known = {"signers": contacts, "notify": contacts, "roles": ("roles.elevated", self.roles.elevated)}
            for key, (place, there) in known.items():
                if missing := set(getattr(operation, key)) - set(there):
                    raise ValueError(f"operations.{name}.{key}: not under {place}: {', '.join(sorted(missing))}")
        for key, names in (("roles.ask", [self.roles.ask]), ("alert_contacts", self.alert_contacts)):
            if missing := set(names) - set(self.contacts):
                raise ValueError(f"{key}: {', '.join(sorted(missing))} is not under contacts")
        if self.staging == self.environment:
            raise ValueError("staging: an environment cannot be its own staging environment")
        return self

    @model_validator(mode="after")
    def _web_app_fits(self) -> Self:
        app, known = self.web_app, {self.tables.scores.name, *(table.name for table in self.tables.freshness)}
        if app and (wrong := set(app.reads) - known | {app.name} & set(self.feeds)):
            raise ValueError(f"web_app: not a table of freshness, or a name of feeds: {', '.join(sorted(wrong))}")
        return self

    zone = property(lambda self: ZoneInfo(self.time_zone))
    # The region and the project, as gcloud takes them.
    flags = property(lambda self: f"--region={self.region} --project={self.project}")

    def resource(self, kind: str, name: str) -> str:
        """The full name of a resource of its region, such as one of `jobs`."""
        return f"projects/{self.project}/locations/{self.region}/{kind}/{name}"

    # The addresses outside Google's APIs that are read, without credentials: status pages, and the web app's page.
    pages = property(lambda self: self.feeds | ({self.web_app.name: self.web_app.url} if self.web_app else {}))

    # The cost cap in bytes.
    cost_cap = property(lambda self: int(self.cost_cap_gib * 2**30))

    def named(self, function: str) -> Function:
        """A function of params; one that params do not list has no tables and no secrets."""
        unknown = Function.model_construct(name=function, source_system="", schedule="")
        return next((f for f in self.functions if f.name == function), unknown)

    def function_of(self, name: str) -> str:
        """The function with this name, service or label; the name itself if there is none. Labels are in lower case."""
        return next((f.name for f in self.functions if name.lower() in (f.name.lower(), f.service_name)), name)

    def ask_for(self, role: str) -> str:
        """The next step for somebody who lacks a role."""
        return f"ask {self.contacts[self.roles.ask].who} for {role} on {self.project}."

    def for_hours(self, role: str) -> str:
        """The line of gcloud that asks for an elevated role, or grants it, for four hours."""
        if entitlement := self.roles.entitlements.get(role):
            about = f"--entitlement={entitlement} --location=global --project={self.project}"
            return f'gcloud pam grants create {about} --requested-duration=14400s --justification="…"'
        until = '"expression=request.time < timestamp(\\"$(date -u -d +4hours +%FT%TZ)\\"),title=four_hours"'
        grant = f"gcloud projects add-iam-policy-binding {self.project} --member=user:YOU --role={role}"
        return f"{grant} --condition={until}"

    def table(self, name: str) -> str:
        """`project.dataset.table`, as SQL writes it between backticks."""
        return f"{self.project}.{self.datasets.main}.{name}"

    def inventory(self) -> dict[str, Any]:
        """The system as plain data for the sandbox: functions, tables with columns, feeds."""
        runs, scores = self.tables.etl_runs.model_dump(), self.tables.scores
        fresh = [_table(t.name, t.column, "TIMESTAMP") for t in self.tables.freshness]
        shown = {"project", "region", "time_zone", "functions", "feeds"}
        known = self.model_dump(include=shown, exclude={"functions": {"__all__": {"repeat", "after"}}})
        known |= {"web_app": self.web_app.url} if self.web_app else {}
        known |= {"dataset": self.datasets.main, "backup_dataset": self.datasets.backup, "runs": runs.pop("name")}
        known["columns_of_runs"] = {meaning: column for meaning, column in runs.items() if column}
        return known | {"tables": [_table(scores.name, scores.date, "DATE"), *fresh]}


def _table(name: str, time_column: str, time_type: str) -> dict[str, Any]:
    columns = {"id": "STRING", "account_id": "STRING", time_column: time_type, "value": "FLOAT64"}
    return {"name": name, "time_column": time_column, "columns": columns}


def address_variable(contact: str) -> str:
    """The environment variable with the addresses of a contact, separated by spaces."""
    return "RUNBOOK_NOTIFY_" + contact.upper().replace("-", "_")
