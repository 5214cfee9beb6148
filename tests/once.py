"""What is the same in every test of a process is made once: the history of a world, its tables, the keys of the demo people.

A sandbox spends 50 ms on a DuckDB and its first rows, and tests make a thousand of them, most of the same few worlds. The
first of a world is made by the sandbox's own code, in a database of this process's one DuckDB; each gets a copy of it.
"""

from __future__ import annotations

import copy
import shutil
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from subprocess import CompletedProcess
from threading import RLock
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.request import getproxies_environment
from weakref import finalize

import duckdb
import requests

from gcp_sandbox import state
from gcp_sandbox.services.bigquery import catalog, seed
from gcp_sandbox.services.bigquery.catalog import Catalog
from gcp_sandbox.world.story import Story
from runbook.approvals import ssh
from runbook.runner.kernel import Kernel

SPAWN = Kernel.launch


class Kept:
    """The 64 things that were asked for last; each is made at most once by several threads."""

    def __init__(self) -> None:
        self.known: dict[Hashable, Any] = {}
        self.lock = RLock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self.lock:
            found = self.known.pop(key) if key in self.known else make()
            self.known[key] = found
            if len(self.known) > 64:
                del self.known[next(iter(self.known))]
            return found


def install() -> None:
    """From here on this process shares all of it."""
    if state.Story is Story:
        stories, databases = Kept(), Databases(Catalog.__init__)
        state.Story = lambda *given: stories.get(tuple(g.model_dump_json() for g in given), lambda: Story(*given))
        Catalog.__init__ = lambda made, sandbox: databases.give(made, sandbox)
        # No test has a proxy; to look for one in all variables, at each request, takes as long as the request's answer.
        if not getproxies_environment():
            requests.sessions.get_environ_proxies = lambda *_, **__: {}
        ssh.keygen = partial(_keygen, Kept(), ssh.keygen)
        Kernel.launch = _launch


def _launch(*given: Any) -> Any:
    from tests.kernels import launch  # imports what a runner needs

    return launch(*given)


class Databases:
    """The databases of one DuckDB: a model of each world that was asked for, and a copy for each sandbox."""

    def __init__(self, seeding: Callable[[Catalog, Any], None]):
        self.seeding, self.models, self.names, self.left = seeding, Kept(), count(), deque[str]()
        self.root = duckdb.connect(":memory:", config={"enable_external_access": "false"})

    def give(self, made: Catalog, sandbox: Any) -> None:
        """In place of `Catalog.__init__`: the first rows follow from the story, the time, and how rows are made."""
        with self.models.lock:
            which = sandbox.story, sandbox.now, seed.rows_of
            again = which in self.models.known
            model, name = self.models.get(which, lambda: self._model(sandbox))
            for table in model.tables.values() if again else ():
                model.size(table)  # each sandbox is asked for it
            con, new = self._connect()
            self.root.execute(f"COPY FROM DATABASE {name} TO {new}")
        same = {id(model.sandbox): sandbox, id(model.con): con, id(model): made}
        made.__dict__.update(copy.deepcopy(vars(model), same))

    def _model(self, sandbox: Any) -> tuple[Catalog, str]:
        con, name = self._connect()
        model = Catalog.__new__(Catalog)
        with patch.object(catalog, "duckdb", SimpleNamespace(connect=lambda *_, **__: con)):
            self.seeding(model, sandbox)
        return model, name

    def _connect(self) -> tuple[duckdb.DuckDBPyConnection, str]:
        """A connection to a new database. The database goes some time after the connection, and not in a finalizer."""
        while self.left:
            with suppress(duckdb.Error):
                self.root.execute(f"DETACH {self.left.popleft()}")
        name = f"sandbox_{next(self.names)}"
        self.root.execute(f"ATTACH ':memory:' AS {name}")
        con = self.root.cursor()
        con.execute(f"USE {name}")
        finalize(con, self.left.append, name)
        return con, name


def _keygen(
    kept: Kept, keygen: Callable[..., CompletedProcess[bytes]], *words: str | Path, message: bytes = b""
) -> CompletedProcess[bytes]:
    """ssh-keygen; but what it says of public keys is known from the last time, and a demo person has one pair of keys."""
    by = shutil.which("ssh-keygen")
    if words[0] == "-l":
        return kept.get((by, words, message), lambda: keygen(*words, message=message))
    if "of the sandbox" not in str(words[-3]):
        return keygen(*words, message=message)
    *about, place = words

    def made() -> tuple[CompletedProcess[bytes], list[bytes]]:
        done = keygen(*words)
        return done, [Path(f"{place}{end}").read_bytes() for end in ("", ".pub")] if not done.returncode else []

    done, pair = kept.get((by, *about), made)
    for end, content in zip(("", ".pub"), pair, strict=False):
        file = Path(f"{place}{end}")
        file.touch(0o644 if end else 0o600)
        file.write_bytes(content)
    return done
