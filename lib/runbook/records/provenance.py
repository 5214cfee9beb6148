"""The provenance of a run: people, host, process, package versions, and the commits of the code and of the params."""

import getpass
import hashlib
import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from runbook.config import ROOT, RUNBOOKS, params_directory
from runbook.data_file import text_of
from runbook.model import BadInput, Refused

PERSON = "[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}"
PACKAGES = ("sales-intelligence-runbooks", "papermill", "ipykernel", "pandas", "google-cloud-bigquery", "matplotlib")
UNSEEN = re.compile(r"__pycache__|\.ipynb_checkpoints|.*\.egg-info")  # what Python, Jupyter and pip write beside files

# A repository may be somebody else's: no program that it names is run, no object is replaced, none is fetched.
GIT = ("git", "--no-replace-objects", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
GIT += ("-c", "log.showSignature=false")
NEVER = {"LC_ALL": "C", "GIT_ALLOW_PROTOCOL": "none"}


class State(NamedTuple):
    """The `commit` that files claim to be ("unknown" for none), their own `digest`, and which `differ` from it.

    Each file is compared with its blob in the commit. So a file or a link that git ignores, does not know, or was told
    not to look at is named, and the files of a tarball that lies in another repository are no commit. A link to a
    folder is always named. What is not looked at: UNSEEN, so also bytecode.
    """

    commit: str
    digest: str
    differ: tuple[str, ...]

    def __str__(self) -> str:
        return self.commit + "-dirty" * bool(self.differ)


def here() -> dict[str, Any]:
    """Who runs what: the system's user and RUNBOOK_PERSON, process id, commits and digests, and versions."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    ours, params = code(), state(params_directory())
    who = {"who": account(), "person": os.environ.get("RUNBOOK_PERSON") or user(), "pid": os.getpid()}
    claimed = os.environ.get("RUNBOOK_COMMIT", "")  # of an image, which has no .git: nothing was compared with it
    said = f"{claimed}-claimed" if ours.commit == "unknown" and re.fullmatch("[0-9a-f]{40}", claimed) else str(ours)
    commits = {"commit": said, "digests": {"code": ours.digest, "params": params.digest}}
    commits |= {"params_commit": str(params), "differ": [*ours.differ, *params.differ][:20]}
    return {**who, **commits, "versions": versions}


def person() -> str:
    """The person who plans and applies on this machine: RUNBOOK_PERSON, or the current user.

    Raises BadInput for letters that may look like those of another name.
    """
    name = os.environ.get("RUNBOOK_PERSON") or user()
    if not re.fullmatch(PERSON, name):  # letters that look alike would be another person
        hint = "set RUNBOOK_PERSON to your user name: letters, digits and . _ + @ -"
        raise BadInput(f"{name!r} cannot be the name of a requester or approver", next=hint)
    return name


def user() -> str:
    """The name of the current user, or the user id: in a container, a user may have no name."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return str(os.getuid())


def account() -> str:
    """The current user and this host, as user@host."""
    return f"{user()}@{socket.gethostname()}"


def code() -> State:
    """The state of the runbooks, of the library, and of what lies beside it and could be imported."""
    return state(Path(__file__).parents[2], RUNBOOKS)


def require_committed(with_params: bool = True) -> None:
    """Raise Refused unless the code and the params are clean, tracked commits, so that others can check them out."""
    params = [("params", state(params_directory()))] if with_params else []
    for what, found in (("code", code()), *params):
        if found.commit == "unknown" or found.differ:
            said = "\n".join(found.differ[:5]) or "they are in no git repository"
            raise Refused(**text_of(__file__, "no_commit", what=what, said=said))


def state(*folders: Path) -> State:
    """The state of all files in these folders, which belong to one repository."""
    folders = tuple(folder.resolve() for folder in folders)
    found, digest = {path: _content(path) for folder in folders for path in _files(folder)}, hashlib.sha256()
    for path, content in found.items():
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    try:
        top, commit = git(folders[0], "rev-parse", "--show-toplevel", "HEAD").splitlines()
        paths = [os.path.relpath(folder, top) for folder in folders]
        listed = git(Path(top), "ls-tree", "-r", "-z", "HEAD", "--", *paths).split("\0")[:-1]
        blobs = {Path(top, name): about.split()[2] for about, _, name in (entry.partition("\t") for entry in listed)}
    except (OSError, subprocess.CalledProcessError):
        return State("unknown", digest.hexdigest(), ())
    differ = [path for path, content in found.items() if blobs.get(path) != _blob(content)]
    differ += [path for path in found if path.is_symlink() and path not in differ and path.resolve() not in blobs]
    differ += [path for path in blobs if not path.exists()]
    shown = (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path for path in differ)
    return State(commit, digest.hexdigest(), tuple(sorted(map(str, shown))))


def _files(folder: Path) -> list[Path]:
    """The files and links in a folder."""
    found = list[Path]()
    for at, below, names in os.walk(folder):
        below[:] = [name for name in below if not UNSEEN.fullmatch(name)]
        found += [one for name in (*names, *below) if (one := Path(at, name)).is_symlink() or one.is_file()]
    return sorted(found)


def _content(path: Path) -> bytes:
    """What git keeps of a path: of a link, where it leads."""
    return os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()


def _blob(content: bytes) -> str:
    """The id that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def git(folder: Path, *words: str, more: dict[str, str] | None = None) -> str:
    """What a git command prints, whatever repository the environment names. Raises CalledProcessError and OSError."""
    return git_bytes(folder, *words, more=more).decode("utf-8", "surrogateescape").rstrip("\n")


def git_bytes(folder: Path, *words: str, more: dict[str, str] | None = None, given: bytes = b"") -> bytes:
    """As `git`, in bytes."""
    # Variables of git may be of another repository.
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | NEVER | (more or {})
    command = [*GIT, "-C", str(folder), *words]
    return subprocess.run(command, env=env, input=given, capture_output=True, check=True).stdout
