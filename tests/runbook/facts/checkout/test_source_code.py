"""The source of a function: the archive that every machine makes alike, and the guide's four points before deploying."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook import facts
from runbook.context import KERNEL
from runbook.facts.base import observe
from runbook.facts.checkout import source_code
from runbook.facts.checkout.source_code import archive, inspect_source, leaks, run_tests, unpacked
from runbook.model.errors import BadParameter
from runbook.model.moment import Moment

KEY = "AKIA" + "IOSFODNN7" + "EXAMPLF"  # put together here, so that no scanner finds one in this file
FILES = {
    "main.py": "def main(request):\n    return 'ok'\n",
    "test_main.py": "import main\n\n\ndef test_main():\n    assert main.main(None) == 'ok'\n",
    "a/deep/b.txt": "é\n",
    "run.sh": "#!/bin/sh\n",
}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Casey", "-c", "user.email=casey@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def commit(folder: Path, message: str = "Change\n\nReviewed-by: Blake <blake@example.com>", *more: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message, *more)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean checkout whose last commit is reviewed."""
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    write(folder, FILES)
    commit(folder)
    return folder


def seen(folder: Path | str) -> Any:
    """The fact; it asks git and the files, and no cloud."""
    moment = Moment(datetime(2026, 3, 11, tzinfo=UTC), ZoneInfo("America/Chicago"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KERNEL, "plan", "")
        return observe(facts.source(str(folder)), None, moment)  # type: ignore[arg-type]


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its tests had passed, which takes two seconds each time."""
    monkeypatch.setattr(source_code, "run_tests", lambda _: (True, "1 passed"))


# --- the archive


def test_the_archive_has_exactly_what_is_committed(checkout: Path) -> None:
    write(checkout, {"untracked.py": "x", ".gitignore": "ignored.txt\n", "ignored.txt": "x"})
    with zipfile.ZipFile(io.BytesIO(archive(checkout))) as made:
        assert made.namelist() == sorted(FILES)
        assert {name: made.read(name).decode() for name in FILES} == FILES
        assert {info.date_time for info in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in made.infolist()} == {0o644}


def test_the_same_tree_has_the_same_digest(checkout: Path, tmp_path: Path) -> None:
    first = inspect_source(checkout).digest
    assert first == hashlib.sha256(archive(checkout)).hexdigest()[:40]
    for name in FILES:
        os.utime(checkout / name, (1, 1))
    assert inspect_source(checkout).digest == first
    before = os.umask(0o077)
    try:
        git(tmp_path, "clone", "--quiet", str(checkout), "other")
    finally:
        os.umask(before)
    assert inspect_source(tmp_path / "other").digest == first
    (checkout / "run.sh").chmod(0o755)
    assert inspect_source(checkout).digest == first


def test_the_archive_is_the_same_bytes_on_every_machine(checkout: Path) -> None:
    """Stored, not deflated: what zlib makes of the same bytes depends on its build."""
    assert inspect_source(checkout).digest == "0eee44ac607045023a473eba9828fd5b7e721b70"
    with zipfile.ZipFile(io.BytesIO(archive(checkout))) as made:
        assert {info.compress_type for info in made.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("change", [{"main.py": FILES["main.py"] + " "}, {"new.py": ""}, {"a/deep/b.txt": "e\n"}])
def test_another_tree_has_another_digest(checkout: Path, change: dict[str, str]) -> None:
    first = inspect_source(checkout).digest
    write(checkout, change)
    commit(checkout)
    assert inspect_source(checkout).digest != first


def test_a_renamed_file_is_another_tree(checkout: Path) -> None:
    first = inspect_source(checkout).digest
    git(checkout, "mv", "run.sh", "walk.sh")
    commit(checkout)
    assert inspect_source(checkout).digest != first


def test_the_folder_may_be_a_part_of_a_repository(checkout: Path) -> None:
    write(checkout, {f"functions/gmail/{name}": text for name, text in FILES.items()})
    commit(checkout)
    alone, part = inspect_source(checkout), inspect_source(checkout / "functions" / "gmail")
    assert len(names(checkout / "functions" / "gmail")) == len(FILES)
    assert len(names(checkout)) == 2 * len(FILES)
    assert part.digest != alone.digest
    with zipfile.ZipFile(io.BytesIO(archive(checkout / "functions" / "gmail"))) as made:
        assert made.namelist() == sorted(FILES)
    write(checkout, {"main.py": "elsewhere"})
    assert inspect_source(checkout / "functions" / "gmail").dirty == ()
    write(checkout, {"functions/gmail/main.py": "here"})
    assert inspect_source(checkout / "functions" / "gmail").dirty == ("main.py",)


# --- committed


@pytest.mark.parametrize(
    ("change", "dirty"),
    [
        ({"main.py": "x"}, ("main.py",)),
        ({"new.py": "x"}, ("new.py",)),
        ({"new/one.py": "x", "new/two.py": "x"}, ("new/",)),
        ({"é ü.py": "x"}, ("é ü.py",)),
    ],
)
def test_what_is_not_committed_is_named(checkout: Path, change: dict[str, str], dirty: tuple[str, ...]) -> None:
    assert inspect_source(checkout).dirty == ()
    write(checkout, change)
    assert inspect_source(checkout).dirty == dirty


def test_deleted_and_staged_files_are_not_committed_either(checkout: Path) -> None:
    (checkout / "run.sh").unlink()
    write(checkout, {"new.py": "x"})
    git(checkout, "add", "new.py")
    assert sorted(inspect_source(checkout).dirty) == ["new.py", "run.sh"]
    git(checkout, "mv", "main.py", "moved.py")
    assert sorted(inspect_source(checkout).dirty) == ["main.py", "moved.py", "new.py", "run.sh"]


def test_the_persons_own_settings_hide_nothing(checkout: Path) -> None:
    git(checkout, "config", "status.showUntrackedFiles", "no")
    write(checkout, {"new.py": "x"})
    assert inspect_source(checkout).dirty == ("new.py",)


# --- reviewed


@pytest.mark.parametrize(
    ("message", "review"),
    [
        ("Change\n\nReviewed-by: Blake <blake@example.com>", "Blake"),
        ("Change\n\nreviewed-by: Blake", "Blake"),
        ("Change\n\nApproved-by: Blake <b@x>\nReviewed-by: Avery <a@x>", "Blake, Avery"),
        ("Change", ""),
        ("Change that was not Reviewed-by: anyone", ""),
        ("Change\n\nReviewed-by: <b@x>", ""),
        ("Change\n\nReviewed-by:\nSigned-off-by: Casey", ""),
    ],
)
def test_a_trailer_says_who_reviewed(checkout: Path, message: str, review: str) -> None:
    commit(checkout, message, "--allow-empty")
    assert inspect_source(checkout).review == review


def test_a_merge_is_a_review(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--create", "topic")
    write(checkout, {"new.py": "x"})
    commit(checkout, "Topic")
    assert inspect_source(checkout).review == ""
    git(checkout, "switch", "--quiet", "main")
    git(checkout, "merge", "--quiet", "--no-ff", "--message", "Merge pull request #7", "topic")
    assert inspect_source(checkout).review == "merge: Merge pull request #7"


# --- tested


PASSES = """import os


def test_it_sees_mock_mode_and_nothing_of_this_run():
    assert os.environ['MOCK_MODE'] == '1'
    assert not {'RUNBOOK_SECRET_ENV', 'GOOGLE_APPLICATION_CREDENTIALS'} & {*os.environ}
"""
TESTS = {
    PASSES: (True, "1 passed"),
    "def test_x():\n    assert False\n": (False, "1 failed"),
    "": (False, "no tests ran"),
}


def test_a_functions_own_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "X")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/x.json")
    for n, test in enumerate(TESTS):
        write(tmp_path, {f"{n}/main.py": FILES["main.py"], f"{n}/test_main.py": test})
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run_tests, [tmp_path / str(n) for n in range(len(TESTS))]))
    assert found == list(TESTS.values())
    assert not list(tmp_path.rglob("__pycache__"))


def test_tests_that_hang_are_ended_with_all_that_they_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, mark = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {mark}\nwait\n")
    python.chmod(0o755)
    monkeypatch.setattr(source_code.sys, "executable", str(python))
    began = time.monotonic()
    assert run_tests(tmp_path, seconds=0.5) == (False, "the tests did not end within 0.5 s")
    assert time.monotonic() - began < 10
    pid = int(mark.read_text())
    for _ in range(100):
        if not _alive(pid):
            break
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# --- secrets in it


def test_a_secret_in_the_code_is_found_and_not_shown(checkout: Path, tested: None) -> None:
    write(checkout, {"main.py": FILES["main.py"] + f"KEY = '{KEY}'\n"})
    commit(checkout)
    fact = seen(checkout)
    assert fact.rows[0].looks_like_a_secret == ("main.py:3, AWS Access Key",)
    shown = str(fact._repr_mimebundle_()) + repr(fact)
    assert KEY not in shown
    assert "AWS Access Key" in shown


def test_a_false_alarm_can_be_marked(checkout: Path) -> None:
    write(checkout, {"main.py": f"KEY = '{KEY}'  # pragma: allowlist secret\n"})
    commit(checkout)
    with unpacked(archive(checkout)) as code:
        assert leaks(code) == []


def test_what_is_not_committed_is_not_deployed_and_not_searched(checkout: Path) -> None:
    write(checkout, {"untracked.py": f"KEY = '{KEY}'\n"})
    with unpacked(archive(checkout)) as code:
        assert leaks(code) == []


# --- the fact


def test_a_clean_checkout(checkout: Path, tested: None) -> None:
    fact = seen(checkout)
    [row] = fact.rows
    assert (row.not_committed, row.review, row.tests, row.looks_like_a_secret) == ((), "Blake", "1 passed", ())
    assert row.commit == git(checkout, "rev-parse", "HEAD")[:12]
    assert row.passed
    assert row.whole_digest.startswith(row.digest)
    assert fact.line.startswith(f"cd {checkout} && git status")


def test_the_samples_commit_and_digest_are_the_same_everywhere() -> None:
    [row] = seen("sample").rows
    assert (row.commit, row.review, row.tests) == ("b21a93620d4f", "Blake", "3 passed")
    assert row.not_committed == row.looks_like_a_secret == ()


def test_no_source_keeps_the_code() -> None:
    fact = seen("")
    assert not fact.rows
    assert not fact.gaps
    assert fact.line == "# no source: the code does not change"


def test_not_a_git_checkout(tmp_path: Path) -> None:
    fact = seen(tmp_path)
    assert not fact.rows
    assert "not a git repository" in fact.gaps[0].why
    assert fact.gaps[0].next == "give the path of a git checkout."


def test_a_checkout_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert "does not have any commits yet" in seen(tmp_path).gaps[0].why


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadParameter):
        seen(tmp_path / "nowhere")


def test_without_pytest_the_tests_are_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_code, "find_spec", lambda _: None)
    fact = seen(checkout)
    assert not fact.rows
    assert "pytest is not installed" in fact.gaps[0].why


def test_without_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "git failed" in seen(checkout).gaps[0].why


# --- W3: what is tested, reviewed and searched is what is deployed


def names(folder: Path) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(archive(folder))).namelist()


def test_the_archive_is_the_commit_whatever_the_working_directory_has(checkout: Path) -> None:
    whole = archive(checkout)
    git(checkout, "update-index", "--assume-unchanged", "main.py")  # git reports no edits of it
    write(checkout, {"main.py": "print('edited')\n"})
    assert inspect_source(checkout).dirty == ("main.py",)
    assert archive(checkout) == whole
    (checkout / "main.py").unlink()
    assert archive(checkout) == whole


def test_the_tests_run_in_what_is_deployed(checkout: Path) -> None:
    """A module that git ignores is here, and would be missing there."""
    test = "import helper\n\n\ndef test_it():\n    assert helper.FINE\n"
    write(checkout, {".gitignore": "helper.py\n", "helper.py": "FINE = True\n", "test_main.py": test})
    commit(checkout)
    [row] = seen(checkout).rows
    assert row.not_committed == ()
    assert not row.passed
    assert "error" in row.tests


@pytest.mark.parametrize("what", ["a symbolic link", "a submodule"])
def test_content_from_elsewhere_is_refused(checkout: Path, tmp_path: Path, what: str) -> None:
    if what == "a symbolic link":
        (tmp_path / "shared").mkdir()
        (checkout / "shared").symlink_to(tmp_path / "shared")
        git(checkout, "add", "--all")
    else:
        one = git(checkout, "rev-parse", "HEAD").strip()
        git(checkout, "update-index", "--add", "--cacheinfo", f"160000,{one},shared")
    git(checkout, "commit", "--quiet", "--no-gpg-sign", "--message=shared")
    with pytest.raises(BadParameter, match=f"'shared' is {what}: it would be missing"):
        seen(checkout)


def _filter(checkout: Path, program: str) -> None:
    git(checkout, "config", "filter.x.clean", program)
    (checkout / ".git/info/attributes").write_text("* filter=x\n")


def _hooks(checkout: Path, program: str) -> None:
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc"):
        (checkout / ".git/hooks" / name).symlink_to(program)


def _signed(checkout: Path, program: str) -> None:
    """A commit with a signature, which git shows by a program that the repository names."""
    git(checkout, "config", "log.showSignature", "true")
    git(checkout, "config", "gpg.program", program)
    head, _, rest = git(checkout, "cat-file", "commit", "HEAD").partition("\n\n")
    (checkout / ".git/x").write_text(f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n\n{rest}")
    git(checkout, "update-ref", "HEAD", git(checkout, "hash-object", "-t", "commit", "-w", ".git/x").strip())


def _elsewhere(checkout: Path, program: str) -> None:
    """An object is missing, and can be had from a remote whose program the repository names."""
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(checkout),
        "remote.origin.uploadpack": program,
    }.items():
        git(checkout, "config", name, value)
    blob = git(checkout, "rev-parse", "HEAD:main.py").strip()
    (checkout / ".git/objects" / blob[:2] / blob[2:]).unlink()


PROGRAMS: dict[str, Callable[[Path, str], object]] = {
    "a monitor": lambda at, program: git(at, "config", "core.fsmonitor", program),
    "hooks": _hooks,
    "a filter": _filter,
    "a reader of signatures": _signed,
    "an upload": _elsewhere,
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_repository_starts_no_program(checkout: Path, tmp_path: Path, tested: None, what: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho x >> {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    PROGRAMS[what](checkout, str(program))
    os.utime(checkout / "run.sh", (0, 0))  # so that git would look at its content
    (tmp_path / "ran").unlink(missing_ok=True)
    row = seen(checkout)
    assert not (tmp_path / "ran").exists()
    assert bool(row.rows) == (what != "an upload")


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_the_environment_names_no_other_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = inspect_source(checkout)
    monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert inspect_source(checkout) == before


@pytest.mark.parametrize("name", [b"caf\xe9.py", b"new\nline.py"])
def test_a_name_that_no_archive_can_have_is_refused(checkout: Path, name: bytes) -> None:
    (Path(os.fsdecode(os.fsencode(checkout) + b"/" + name))).write_text("x = 1")
    commit(checkout)
    with pytest.raises(BadParameter, match="a name that is not printable text"):
        seen(checkout)
