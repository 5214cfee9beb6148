"""The code to deploy (guide: Before Deploying): git status, tests, secrets in it, and the archive that is deployed."""

import hashlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from runbook.cloud import CannotRead, Cloud
from runbook.context import KERNEL
from runbook.facts.base import Answer, Read, fact
from runbook.model import BadParameter, Moment, Refused
from runbook.model.rows import SourceState
from runbook.records import Store, mapping, store_of
from runbook.records.plans import newest_plan
from runbook.records.provenance import git, git_bytes

SAMPLE = "sample"  # the sandbox's sample code
OTHER = "not run: it is not the code of the approved plan"


@dataclass(frozen=True)
class Source:
    """`digest` is of `archive`; `dirty` lists uncommitted files. `review` is what the commit's message says of a
    reviewer, which nobody has checked.
    """

    commit: str
    dirty: tuple[str, ...]
    review: str
    digest: str
    archive: bytes = field(repr=False)


@fact
def source(cloud: Cloud, moment: Moment, folder: str) -> Read:
    """One row for `safe_to_deploy`: commit, review, tests, digest; no row for "", which keeps the code."""
    if not folder:
        return Read("source", "# no source: the code does not change", lambda: Answer(()))
    line = f"cd {shlex.quote(folder)} && git status --porcelain && MOCK_MODE=1 python -m pytest && detect-secrets scan"
    return Read("source", line, lambda: Answer([_row(cloud, folder)]))


def _row(cloud: Cloud, folder: str) -> SourceState:
    place = folder_of(folder)
    if not find_spec("pytest"):
        raise CannotRead("pytest is not installed, so the tests of the source cannot run", "pip install pytest.")
    try:
        found = inspect_source(place)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode("utf-8", "replace") or str(error)
        raise CannotRead(f"git failed: {said.strip()}", "give the path of a git checkout.") from None
    with unpacked(found.archive) as code:
        (passed, line), secrets = (False, OTHER), tuple(leaks(code))
        if not KERNEL.plan or _is_of(KERNEL.plan, found.digest, store_of(cloud.settings)):
            passed, line = run_tests(code)
    about = (folder, found.commit[:12], found.dirty, found.review)
    return SourceState(*about, line, secrets, found.digest[:12], passed, found.digest)


def _is_of(plan: str, digest: str, store: Store) -> bool:
    """Whether a stored plan deploys this code: its approvers signed its digest; the folder may have other code now."""
    with suppress(Refused):  # a damaged plan; what uses it says so
        changes = stored.file.content["changes"] if (stored := newest_plan(store, plan)) else []
        return digest in [mapping(change["args"].get("after")).get("source") for change in changes]
    return False


def folder_of(source: str) -> Path:
    """The directory that a parameter names; `sample` is the sandbox's. Raises BadParameter if it is not a directory."""
    if source == SAMPLE:
        from gcp_sandbox.checkout import sample

        return sample()
    path = Path(source).expanduser()
    if not path.is_dir():
        raise BadParameter(f"source={source}", "is not a directory", next="give the path of a clean git checkout.")
    return path.resolve()


def inspect_source(folder: Path) -> Source:
    """The state of a source. Raises subprocess.CalledProcessError if the directory is not in a git checkout."""
    commit, parents, message = (git(folder, "log", "-1", "--format=%H%n%P%n%B") + "\n\n").split("\n", 2)
    files = dict(_blobs(folder))  # and no `git status`, which starts the filters that a repository names
    others = ("--cached", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "--", ".")
    dirty = {name for name in git(folder, "ls-files", "-z", *others).split("\0") if name} - set(files)
    dirty |= {name for name, content in files.items() if not _is_in(folder / name, content)}
    merged = f"merge: {message.splitlines()[0]}" if len(parents.split()) > 1 else ""
    review = ", ".join(t.strip() for t in re.findall(r"(?mi)^(?:reviewed|approved)-by: *([^<\n]+)", message)) or merged
    content = _zipped(files)
    return Source(commit, tuple(sorted(dirty)), review, hashlib.sha256(content).hexdigest()[:40], content)


def _is_in(path: Path, content: bytes) -> bool:
    """Whether a file has this content, whatever its line ends."""
    return path.is_file() and not path.is_symlink() and path.read_bytes().splitlines() == content.splitlines()


def _blobs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files of the commit, by name: what the working directory has is not looked at.

    Raises BadParameter for a symbolic link or a submodule, whose content is somewhere else, and for a name that no
    archive can have; CannotRead for content that is not here.
    """
    listed = [e.partition("\t") for e in git(folder, "ls-tree", "-r", "-z", "HEAD", "--", ".").split("\0") if e]
    kinds = {"120000": "a symbolic link", "160000": "a submodule"}
    for about, _, name in listed:
        if kind := kinds.get(about[:6]) or ("" if name.isprintable() else "a name that is not printable text"):
            said = f"{name!r} is {kind}: it would be missing in what is deployed"
            raise BadParameter(f"source={folder}", said, next="commit the files themselves, under plain names.")
    ids = "".join(f"{about.split()[2]}\n" for about, _, _ in listed)
    stream = io.BytesIO(git_bytes(folder, "cat-file", "--batch", given=ids.encode()))
    for _, _, name in listed:
        _, kind, *size = stream.readline().split()
        if not size:
            raise CannotRead(f"git has no content of {name!r}: {kind.decode()}", "clone the whole repository.")
        yield name, stream.read(int(size[0]))
        stream.readline()


def archive(folder: Path) -> bytes:
    """The committed files as a zip that is identical for the same tree: sorted, without times, owners or compression.

    Builds of zlib may compress the same bytes differently, but a plan must have the same id on every machine.
    """
    return _zipped(dict(_blobs(folder)))


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)  # of 1980, the first year of the format
            info.external_attr, info.create_system = 0o644 << 16, 3
            made.writestr(info, content)
    return out.getvalue()


@contextmanager
def unpacked(content: bytes) -> Iterator[Path]:
    """An archive in a directory of its own: what is tested and searched is what has the digest."""
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(io.BytesIO(content)) as made:
        made.extractall(place)
        yield Path(place)


def run_tests(folder: Path, seconds: float = 120) -> tuple[bool, str]:
    """Run the function's own tests with MOCK_MODE=1: whether they passed, and pytest's last line without durations."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-c", os.devnull]
    command += ["--rootdir", str(folder), str(folder)]
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")}
    env |= {"MOCK_MODE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **pipes) as tests:
        try:
            said, wrong = tests.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)  # also kills child processes, which would keep the pipes open
            return False, f"the tests did not end within {seconds:g} s"
    last = next(iter(reversed(said.strip().splitlines())), wrong.strip()[-200:])
    return tests.returncode == 0, re.sub(r" in [\d.]+s.*| *=+ *", "", last)


def leaks(folder: Path) -> list[str]:
    """Locations that look like a secret, as `file:line, kind`, from detect-secrets; never the value."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    found = SecretsCollection(root=str(folder))
    with default_settings():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.scan_file(str(path.relative_to(folder)))
    return sorted(f"{name}:{secret.line_number}, {secret.type}" for name, secret in found)
