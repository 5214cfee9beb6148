"""What each operation of params may consist of, and how a change reads: its text is made from its arguments alone.

What an approver sees and what is sent come from the same arguments, so that no plan can show one thing and do another.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Args = Mapping[str, Any]
Text = tuple[str, str, str]  # resource, before, after
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}  # types as tables.get names them
TELL = "tell"  # may come first in every operation


class Allowed(NamedTuple):
    """The runbooks that may plan an operation, and the actions of which it may consist, messages aside."""

    runbooks: tuple[str, ...]
    actions: tuple[str, ...]


OPERATIONS = {
    "add_column": Allowed(("schema_change",), ("add column",)),
    "deploy": Allowed(("deploy",), ("update function", "route traffic", "run once")),
    "notify": Allowed(("p1_response",), ()),
    "restore": Allowed(("restore",), ("copy table",)),
    "retry": Allowed(("retry",), ("run once",)),
    "rollback": Allowed(("rollback",), ("route traffic",)),
    "scheduler": Allowed(("scheduler",), ("set job state",)),
    "secret": Allowed(
        ("rotate_secret", "retire_secret"),
        ("add secret version", "start with new secret", "run once", "set version state"),
    ),
    "snapshot": Allowed(("backup",), ("copy table",)),
}


def allowed(runbook: str, operation: str, action: str) -> bool:
    """Whether a plan of this runbook and operation may hold this action."""
    known = OPERATIONS.get(operation, Allowed((), ()))
    return runbook in known.runbooks and action in (TELL, *known.actions)


def text_of(action: str, args: Args) -> Text:
    """Resource, before and after of a change, as people read it. Raises KeyError for an action that there is not.

    Also raises KeyError, TypeError, ValueError or AttributeError for arguments that are not those of the action.
    """
    return _TEXTS[action](args)


def shares(targets: Mapping[str, int]) -> str:
    """A traffic split in words, the largest share first."""
    return ", ".join(f"{name} {targets[name]} %" for name in sorted(targets, key=lambda n: (-targets[n], n)))


_PARTS = {
    "memory": "memory {}",
    "timeout_s": "timeout {} s",
    "source": "source {}",
    "runtime": "{}",
    "entry_point": "{}",
}


def _function(args: Args) -> Text:
    return args["function"], _parts(args["from"]), _parts(args["to"])


def _parts(parts: Args) -> str:
    if unknown := set(parts) - set(_PARTS):
        raise ValueError(f"a function has no {unknown.pop()}")
    return ", ".join(t.format(str(parts[k])[:12] or "not by a runbook") for k, t in _PARTS.items() if k in parts)


def _restart(args: Args) -> Text:
    return args["service"], args["from"], f"a new revision that reads {args['secret']}, version {args['version']}"


def _version(args: Args) -> Text:
    return args["secret"], f"newest is version {args['from']}", f"version {args['to']}, checksum verified"


def _copy(args: Args) -> Text:
    table = args["table"]
    after = {
        "SNAPSHOT": f"a snapshot of {table}, kept {args.get('keep_days')} days",
        "RESTORE": f"the rows of {table}",
        "COPY": f"the rows that {table} had at {copied_at(args):%Y-%m-%d %H:%M:%S.%f} UTC".replace(".000000", ""),
    }
    return args["to_table"], "none", after[args["operation"]]


def copied_at(args: Args) -> datetime:
    """The time, in UTC, of which a copy is; the beginning of time where it names none."""
    return EPOCH + timedelta(milliseconds=int(str(args.get("at", "@0")).removeprefix("@")))


def _column(args: Args) -> Text:
    return f"{args['table']}.{args['column']}", "none", f"{column_type(args)}, empty"


def column_type(args: Args) -> str:
    """The type of a column in GoogleSQL."""
    return f"ARRAY<{args['type']}>" if args["mode"] == "REPEATED" else str(args["type"])


def add_column(project: str, args: Args) -> str:
    """The statement that adds a column."""
    return f"ALTER TABLE `{project}.{args['dataset']}.{args['table']}` ADD COLUMN {args['column']} {column_type(args)}"


_TEXTS: dict[str, Callable[[Args], Text]] = {
    "add column": _column,
    "add secret version": _version,
    "copy table": _copy,
    "route traffic": lambda a: (a["service"], shares(a["from"]), shares(a["to"])),
    "run once": lambda a: (a["function"], "as it is", "one more run, ended with success"),
    "set job state": lambda a: (a["job"], a["from"], a["to"]),
    "set version state": lambda a: (f"{a['secret']}, version {a['version']}", a["from"], a["to"]),
    "start with new secret": _restart,
    TELL: lambda a: (a["contact"], "not told", f"told: {a['title']}"),
    "update function": _function,
}
