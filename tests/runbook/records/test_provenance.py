"""What a run says about its code and params is true of their files, whatever git was told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.model.errors import Refused
from runbook.records import provenance
from runbook.records.provenance import require_committed, state


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Casey", "-c", "user.email=casey@example.com"]
    done = subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with two folders of code, all of it committed."""
    for name, text in (("lib/a.py", "a = 1\n"), ("lib/inner/b.py", "b = 2\n"), ("books/c.ipynb", "{}\n")):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text(text)
    git(tmp_path / "here", "init", "--quiet", "--initial-branch=main")
    commit(tmp_path / "here")
    return tmp_path / "here"


def commit(place: Path) -> None:
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--no-gpg-sign", "--message=x")


def found(place: Path) -> provenance.State:
    return state(place / "lib", place / "books")


def test_a_clean_commit(place: Path) -> None:
    assert found(place)[::2] == (git(place, "rev-parse", "HEAD"), ())
    (place / "lib/__pycache__").mkdir()
    (place / "lib/__pycache__/a.pyc").write_text("x")
    (place / "notes").write_text("beside the code")
    assert str(found(place)) == git(place, "rev-parse", "HEAD")


def _assumed(place: Path) -> None:
    git(place, "update-index", "--assume-unchanged", "lib/a.py")
    (place / "lib/a.py").write_text("a = 2\n")


def _skipped(place: Path) -> None:
    git(place, "update-index", "--skip-worktree", "lib/a.py")
    (place / "lib/a.py").write_text("a = 2\n")


def _ignored(place: Path) -> None:
    (place / ".gitignore").write_text("*.so\n")
    commit(place)
    (place / "lib/a.so").write_text("x")


def _replaced(place: Path) -> None:
    """HEAD keeps its id; git shows another commit's files in its place, and these are checked out."""
    first = git(place, "rev-parse", "HEAD")
    (place / "lib/a.py").write_text("a = 2\n")
    commit(place)
    git(place, "replace", first, "HEAD")
    git(place, "update-ref", "HEAD", first)


def _linked(place: Path) -> None:
    shutil.copytree(place / "lib", place.parent / "elsewhere")
    (place / "lib/a").symlink_to(place.parent / "elsewhere")  # in place of a.py


def _relinked(place: Path) -> None:
    (place / "books/c.ipynb").rename(place / "books/b.ipynb")
    (place / "books/c.ipynb").symlink_to("b.ipynb")
    commit(place)
    (place / "books/c.ipynb").unlink()
    (place / "books/c.ipynb").symlink_to("../lib/a.py")


def _leads_out(place: Path) -> None:
    (place.parent / "x.ipynb").write_text("{}")
    (place / "books/d.ipynb").symlink_to("../../x.ipynb")
    commit(place)


DIRTY: dict[str, Callable[[Path], object]] = {
    "changed": lambda p: (p / "lib/a.py").write_text("a = 2\n"),
    "added": lambda p: (p / "books/d.ipynb").write_text("{}"),
    "removed": lambda p: (p / "lib/inner/b.py").unlink(),
    "assumed unchanged": _assumed,
    "skipped": _skipped,
    "ignored": _ignored,
    "replaced": _replaced,
    "a linked folder": _linked,
    "a link to a committed file": lambda p: (p / "lib/b.py").symlink_to("a.py"),
    "a link that leads to another file": _relinked,
    "a committed link that leads out": _leads_out,
    "a link to nothing": lambda p: (p / "lib/b.py").symlink_to("x.py"),
}


@pytest.mark.parametrize("way", DIRTY)
def test_what_is_not_the_commit_is_named(place: Path, way: str) -> None:
    before = found(place).digest
    DIRTY[way](place)
    now = found(place)
    assert len(now.differ) == 1
    assert str(now).endswith("-dirty")
    assert now.digest != before


def test_a_committed_link_to_a_committed_file_is_clean(place: Path) -> None:
    (place / "lib/b.py").symlink_to("a.py")
    commit(place)
    assert found(place).differ == ()


@pytest.mark.parametrize("name", ["sitecustomize.py", "click.py", "gcp_sandbox/__init__.py", "yaml", "x.pth"])
def test_all_that_could_be_imported_from_beside_the_library_is_code(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(place / "lib/runbook/records/provenance.py"))
    monkeypatch.setattr(provenance, "RUNBOOKS", place / "books")
    (place / "lib/x.egg-info").mkdir()
    (place / "lib/x.egg-info/PKG-INFO").write_text("what pip writes")
    assert provenance.code().differ == ()
    (place / "lib" / name).parent.mkdir(exist_ok=True)
    (place / "lib" / name).symlink_to(place.parent) if name == "yaml" else (place / "lib" / name).write_text("x")
    assert provenance.code().differ == (str(place / "lib" / name),)


def test_a_repository_below_a_folder_that_is_not_looked_at_is_looked_at(place: Path) -> None:
    (place.parent / "__pycache__").mkdir()
    place = place.rename(place.parent / "__pycache__" / "here")
    assert len(found(place).digest) == 64
    (place / "lib/a.py").write_text("a = 2\n")
    assert found(place).differ == (str(place / "lib/a.py"),)


def test_a_copy_inside_another_repository_is_not_its_commit(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / "x").write_text("x")
    commit(other)
    shutil.copytree(place, other / "here", ignore=shutil.ignore_patterns(".git"))
    assert len(found(other / "here").differ) == 3


def test_the_environment_names_no_other_repository(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(place)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert found(place) == before


@pytest.mark.parametrize("which", ["code", "params"])
def test_who_changes_google_needs_a_commit_of_both(place: Path, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(provenance, "code", lambda: state(place / "lib"))
    monkeypatch.setenv("RUNBOOK_PARAMS", str(place / "books"))
    require_committed()
    (place / ("lib/a.py" if which == "code" else "books/c.ipynb")).write_text("changed")
    with pytest.raises(Refused, match=f"the {which} on this machine are not a commit") as refused:
        require_committed()
    assert ("a.py" if which == "code" else "c.ipynb") in refused.value.observed


def test_without_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/")
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(provenance, "code", lambda: state(tmp_path / "lib"))
    assert provenance.code().commit == "unknown"
    with pytest.raises(Refused, match="not a commit"):
        require_committed()
