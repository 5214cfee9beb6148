"""The whole repository: the two lists of packages and their pins, no path of a machine, the exit codes, the README's table, the rules."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from runbook.model.errors import Exit
from tests.rules import RULES

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib"

CONDA = {"python-duckdb": "duckdb"}


def test_both_lists_of_packages_are_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = {*project["dependencies"], *(p for extra in project["optional-dependencies"].values() for p in extra)}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {CONDA.get(p, p) for p in listed if isinstance(p, str) and p.split()[0] not in ("python", "pip")}
    assert conda == pip
    assert f"python {project['requires-python']}" in listed
    assert {"pip": ["-e ."]} in listed


def test_every_package_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = {*project["dependencies"], *(p for extra in project["optional-dependencies"].values() for p in extra)}
    pins = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text()))
    assert {p.lower() for p in pip} <= {p.lower() for p in pins}


def files() -> list[Path]:
    """The files that git knows; of a copy without its history, every file outside the directories that tools make."""
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]  # the copy may belong to another user
    known = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    if known.returncode == 0:
        return [ROOT / name for name in known.stdout.split("\0") if name and (ROOT / name).is_file()]
    made = re.compile(
        r"^/records/|/(\.venv|__pycache__|\.ipynb_checkpoints|\.(pytest|ruff)_cache|\.hypothesis)/|\.egg-info/"
    )
    return [p for p in ROOT.rglob("*") if p.is_file() and not made.search(f"/{p.relative_to(ROOT)}")]


def test_no_file_names_a_machine_or_an_index() -> None:
    bad = re.compile(
        "|".join(["/wo" + "rk/", "/ro" + "ot/", "pypi" + r"\.org", "file" + "://", "registry" + r"\.npmjs"])
    )
    texts = [p for p in files() if p.suffix != ".png"]
    assert [p.name for p in texts if bad.search(p.read_text(encoding="utf-8"))] == []


def test_a_page_lists_the_exit_codes() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| ([a-z ]+?) \|", (ROOT / "docs" / "running.md").read_text())
    assert {name.replace(" ", "_").upper(): int(code) for code, name in rows} == {e.name: e.value for e in Exit}


def test_the_readme_lists_the_runbooks() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"runbooks/{p.name}" in readme for p in (ROOT / "runbooks").glob("*.ipynb"))


def test_each_rule_stands_once_in_the_code_and_has_a_test() -> None:
    """Whether that test is red without it, `tests/test_bite.py` asks in `make test-full`."""
    for rule in RULES:
        path, _, name = rule.test.partition("::")
        assert (LIB / "runbook" / rule.file).read_text().count(rule.code) == 1, rule
        assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / path).read_text(), rule
    assert len({rule.rule for rule in RULES}) == len(RULES)
