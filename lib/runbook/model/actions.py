"""Each action that changes something: its typed arguments, its text for approvers, and the permissions that it needs.

The text for the approver and the request to Google come from the same arguments, so a plan cannot show one thing and
do another. Everything that differs between actions is a property of its class. Pure.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from runbook.model.strict import Part, words

Text = tuple[str, str, str]  # resource, before, after
# Names become parts of statements and of URLs: none ends its quotes, and none leads elsewhere.
Word, Table = words(r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,499}$"), words(r"^[\p{L}\p{M}\p{N}\p{Pc}\p{Pd}\p{Zs}]+$")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ACT_AS = "iam.serviceAccounts.actAs"
LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}  # type names in tables.get


class Args(Part):
    """The arguments of an action. `text` describes it for people: resource, before and after. It is the `template` with
    the arguments in it, if a class does not say otherwise.

    `optional`: if it fails, the later changes continue, and the plan can still be applied. `independent`: the later
    changes continue, but the plan has failed. `is_a_run`: its effect is a run of a function, which appears
    with a delay and is recognized only by its newer start time. `needs_secret`: it takes a secret's value.
    `only_adds`: it cannot disturb another change.
    `permissions`: those that its requests need (https://cloud.google.com/iam/docs/permissions-reference).
    `by_operation`: those that they need in one operation only. A deployment, and every change of a Cloud Run service,
    needs actAs on the functions' service account (https://cloud.google.com/functions/docs/reference/iam/roles).
    """

    action: ClassVar[str]
    optional: ClassVar[bool] = False
    independent: ClassVar[bool] = False
    is_a_run: ClassVar[bool] = False
    only_adds: ClassVar[bool] = False
    needs_secret: ClassVar[bool] = False
    template: ClassVar[Text]
    permissions: ClassVar[tuple[str, ...]] = ()
    by_operation: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @property
    def text(self) -> Text:
        resource, before, after = (part.format_map(vars(self)) for part in self.template)
        return resource, before, after


class RouteTraffic(Args):
    """The traffic of a Cloud Run service: percent by revision. "latest" is the newest ready revision."""

    action = "route traffic"
    permissions = ("run.services.update", ACT_AS)
    service: Word
    before: dict[str, int]
    after: dict[str, int]

    text = property(lambda self: (self.service, shares(self.before), shares(self.after)))


def shares(targets: Mapping[str, int]) -> str:
    """A traffic split in words, the largest share first."""
    return ", ".join(f"{name} {targets[name]} %" for name in sorted(targets, key=lambda n: (-targets[n], n)))


FunctionPart = Literal["memory", "timeout_s", "source", "runtime", "entry_point"]

# The words for each part.
_SAY = {"memory": "memory {}", "timeout_s": "timeout {} s", "source": "source {}", "runtime": "{}", "entry_point": "{}"}


class UpdateFunction(Args):
    """A deployment that changes only the named parts. `source` is a digest; `was` is the function's state before."""

    action = "update function"
    permissions = ("cloudfunctions.functions.update", "cloudfunctions.functions.sourceCodeSet", ACT_AS)
    function: Word
    before: dict[FunctionPart, str | int]
    after: dict[FunctionPart, str | int]
    was: str

    text = property(lambda self: (self.function, _parts(self.before), _parts(self.after)))


def _parts(parts: Mapping[FunctionPart, str | int]) -> str:
    return ", ".join(t.format(str(parts[k])[:12] or "unknown") for k, t in _SAY.items() if k in parts)


class Restart(Args):
    """A new revision of a service. A secret in an environment variable is read only when a revision starts."""

    action = "start with new secret"
    template = ("{service}", "{revision}", "a new revision that reads {secret}, version {version}")
    unchanged: ClassVar[str] = "it still uses the previous version of the secret"
    permissions = ("run.services.update", ACT_AS)
    service: Word
    revision: str
    secret: Word
    version: int

    # The annotation that identifies the new revision.
    mark = property(lambda self: f"{self.secret}-{self.version}")


class RestartService(Args):
    """A new revision of a service with the same code and settings: new instances in place of those that are stuck."""

    action = "start a new revision"
    template = ("{service}", "{revision}", "a new revision of the same code")
    unchanged: ClassVar[str] = "the same revision still serves"
    permissions = ("run.services.update", ACT_AS)
    service: Word
    revision: str

    # The annotation that identifies the new revision.
    mark = property(lambda self: f"after-{self.revision}")


class RunOnce(Args):
    """One run of a function, by its scheduler job. `repeat` is what params say about another run of it."""

    action = "run once"
    template = ("{function}", "no new run", "one more run by its job {job}, successful (repeat: {repeat})")
    is_a_run = True
    permissions = ("cloudscheduler.jobs.run",)
    function: Word
    job: Word
    repeat: Literal["safe", "asks", "never"]


class SetJobState(Args):
    """Pause or resume a scheduler job."""

    action = "set job state"
    template = ("{job}", "{before}", "{after}")
    permissions = ("cloudscheduler.jobs.pause", "cloudscheduler.jobs.enable")
    job: Word
    before: str
    after: str


class AddVersion(Args):
    """A new version of a secret: the newest version number before and after."""

    action = "add secret version"
    template = ("{secret}", "newest is version {before}", "version {after}, checksum verified")
    needs_secret = True
    permissions = ("secretmanager.versions.add",)
    secret: Word
    before: int
    after: int


class SetVersionState(Args):
    """Disable or enable a version of a secret."""

    action = "set version state"
    template = ("{secret}, version {version}", "{before}", "{after}")
    permissions = ("secretmanager.versions.disable", "secretmanager.versions.enable")
    secret: Word
    version: int
    before: str
    after: str


class CopyTable(Args):
    """A snapshot of a table, a table from a snapshot, or a table as it was `at` a time ("@" and milliseconds).

    A snapshot that expires is deleted then, so it needs deleteSnapshot
    (https://cloud.google.com/bigquery/docs/table-snapshots-create).
    """

    action = "copy table"
    only_adds = True
    independent = True  # one table must not spoil the backup of all others
    permissions = ("bigquery.tables.create", "bigquery.tables.updateData")
    by_operation: ClassVar = {
        "snapshot": ("bigquery.tables.createSnapshot", "bigquery.tables.deleteSnapshot"),
        "restore": ("bigquery.tables.restoreSnapshot",),
    }
    dataset: Table
    table: Table
    to_dataset: Table
    to_table: Table
    operation: Literal["SNAPSHOT", "RESTORE", "COPY"]
    keep_days: int = 0
    at: words(r"^(@[0-9]+)?$") = ""

    @property
    def text(self) -> Text:
        after = {
            "SNAPSHOT": f"a snapshot of {self.table}, kept {self.keep_days} days",
            "RESTORE": f"the rows of {self.table}",
            "COPY": f"the rows that {self.table} had at {self.copied_at:%Y-%m-%d %H:%M:%S.%f} UTC",
        }
        return self.to_table, "none", after[self.operation].replace(".000000 UTC", " UTC")

    @property
    def copied_at(self) -> datetime:
        """The time, in UTC, whose rows are copied; the epoch if `at` is empty."""
        return EPOCH + timedelta(milliseconds=int(self.at.removeprefix("@") or 0))

    is_snapshot = property(lambda self: self.operation == "SNAPSHOT")

    # The name of its jobs, without their number.
    job = property(lambda self: f"runbook_{'snapshot' if self.is_snapshot else 'restore'}_{self.to_table}")


class AddColumn(Args):
    """A new column; `type` in GoogleSQL."""

    action = "add column"
    permissions = ("bigquery.tables.update",)
    dataset: Table
    table: Table
    column: words(r"^[A-Za-z_][A-Za-z0-9_]{0,299}$")
    type: words("^[A-Z0-9]+$")
    mode: Literal["NULLABLE", "REPEATED"]

    text = property(lambda self: (f"{self.table}.{self.column}", "none", f"{self._kind}, empty"))
    _kind = property(lambda self: f"ARRAY<{self.type}>" if self.mode == "REPEATED" else self.type)

    # Type and mode, as named in tables.get.
    field = property(lambda self: (LEGACY.get(self.type, self.type), self.mode))

    def sql(self, project: str) -> str:
        """The statement."""
        return f"ALTER TABLE `{project}.{self.dataset}.{self.table}` ADD COLUMN `{self.column}` {self._kind}"

    # The name of its jobs, without their number.
    job = property(lambda self: f"runbook_add_{self.table}_{self.column}")


class Notify(Args):
    """A message to a contact. It is sent once for each `once`; if that is empty, once for each attempt to apply."""

    action = "notify"
    template = ("{contact}", "not notified", "notified: {title}")
    optional = only_adds = True
    contact: str
    title: str
    message: str
    once: str = ""


ACTIONS: dict[str, type[Args]] = {kind.action: kind for kind in Args.__subclasses__()}


def arguments(action: str, given: Mapping[str, Any]) -> Args:
    """The arguments of an action, from plain data. Raises KeyError for an unknown action, ValueError for bad data."""
    return ACTIONS[action].model_validate(dict(given))
