"""The whole repository: layers, the two lists of packages, and what documents promise."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runbook.model.errors import Exit

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib"
GOOGLE = {"requests", "google", "googleapiclient", "urllib3"}
# Module of `runbook` → the modules of `runbook` that it may import; what is not here may import anything of `runbook`.
PURE = {"canonical", "draw", "errors", "moment", "operations", "plan", "report", "rows", "settings"}
LAYERS = {
    "errors": {"draw"},
    "operations": {"settings"},
    "canonical": set(),
    "store": {"errors", "journal"},
    "signers": {"errors", "settings"},
    "approval": {"errors", "settings", "canonical", "plan", "signers", "store"},
    "source": {"errors"},
    "material": {"errors", "source"},
    "plan": {"canonical", "draw", "errors", "operations", "rows", "settings"},
    "plans": PURE | {"forms", "plans", "request", "run"},
    "actions": PURE | {"actions", "cloud", "facts", "material", "notify", "record", "store"},
    "draw": {"rows", "errors"},
    "rows": {"draw", "errors"},
    "moment": {"errors"},
    "settings": {"errors"},
    "report": PURE,
    "checks": PURE | {"checks"},
    "charts": PURE | {"run"},
    "sick": PURE,
    "diagnosis": PURE | {"sick"},
    "limits": PURE | {"diagnosis", "sick"},
    "cloud": PURE | {"cloud"},
    "facts": PURE | {"context", "cloud", "facts", "source", "journal", "record", "request", "store"},
    "notify": {"errors", "settings"},
    "forms": PURE,
    "request": PURE | {"cloud", "forms"},  # which target an environment has, before a kernel starts
    "journal": PURE,
    "doctor": PURE | {"checks", "cloud", "facts", "record", "signers"},
    "lab": PURE | {"record", "request"},
    "record": PURE | {"journal", "request"},
}
# Pure modules know neither files nor clocks nor clouds.
IMPURE = {"os", "pathlib", "time", "subprocess", "socket", "io", "random"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, and whether only type checkers see it."""
    tree = ast.parse(path.read_text())
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module in ("runbook", "gcp_sandbox"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, id(node) in typing) for name in names)


def modules(package: str) -> list[Path]:
    return sorted((LIB / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules("runbook"), ids=lambda p: str(p.relative_to(LIB)))
def test_layers_of_runbook(path: Path) -> None:
    layer = path.relative_to(LIB / "runbook").parts[0].removesuffix(".py")
    found = [(name, typing) for name, typing in imports(path) if not typing]
    inner = {name.split(".")[1] for name, _ in found if name.startswith("runbook.")}
    assert inner <= LAYERS.get(layer, inner), f"{layer} imports {inner - LAYERS[layer]}"
    outer = {name.split(".")[0] for name, _ in found}
    if layer != "cloud":
        google = {name for name, _ in found if name.split(".")[0] in GOOGLE}
        assert google <= ({"google.api_core.exceptions"} if layer in {"facts", "actions", "writing"} else set())
    if layer in {"canonical", "checks", "diagnosis", "forms", "limits", "plan", "plans", "rows", "report", "sick"}:
        assert not outer & IMPURE
    if layer not in {"writing", "actions"}:
        assert "actions" not in inner, "only apply writes"
    if layer not in {"apply", "writing"}:
        assert "writing" not in inner, "only apply writes"


@pytest.mark.parametrize("path", modules("gcp_sandbox"), ids=lambda p: str(p.relative_to(LIB)))
def test_the_sandbox_does_not_know_runbook(path: Path) -> None:
    assert not [name for name, _ in imports(path) if name.split(".")[0] == "runbook"]


def test_a_layer_that_is_named_exists() -> None:
    found = {p.relative_to(LIB / "runbook").parts[0].removesuffix(".py") for p in modules("runbook")}
    assert set(LAYERS) <= found


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


def tracked() -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in out.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_an_index() -> None:
    bad = re.compile(
        "|".join(["/wo" + "rk/", "/ro" + "ot/", "pypi" + r"\.org", "file" + "://", "registry" + r"\.npmjs"])
    )
    texts = [p for p in tracked() if p.suffix != ".png"]
    assert [p.name for p in texts if bad.search(p.read_text(encoding="utf-8"))] == []


def test_the_readme_lists_the_exit_codes() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| ([a-z ]+?) \|", (ROOT / "README.md").read_text())
    assert {name.replace(" ", "_").upper(): int(code) for code, name in rows} == {e.name: e.value for e in Exit}


def test_the_readme_lists_the_runbooks() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"runbooks/{p.name}" in readme for p in (ROOT / "runbooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", modules("runbook") + modules("gcp_sandbox"), ids=lambda p: str(p.relative_to(LIB)))
def test_public_names_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    bare = [n.name for n in public if not ast.get_docstring(n) and (isinstance(n, ast.FunctionDef) or _has_body(n))]
    assert not bare
    assert ast.get_docstring(tree) or not tree.body


def _has_body(node: ast.ClassDef) -> bool:
    """Whether a class does more than list its fields."""
    return any(isinstance(part, ast.FunctionDef) for part in node.body)
