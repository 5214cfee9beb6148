"""The layout shows the architecture: an order of layers that nobody breaks, small modules, a drawing that is true."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import Any

import pytest

from tests import layout
from tests.layout import LIB, ORDER, ROOT, edges, imports, layer, modules

PACKAGES = list(ORDER)
GOOGLE = {"requests", "google", "googleapiclient", "urllib3"}
# Where an error of Google's is told from an answer.
KNOW_ERRORS = {"facts", "apply"}
# These know neither files nor clocks nor clouds.
PURE = re.compile(
    r"runbook\.(display|model|checks|plans)\b|runbook\.config\.validation"
    r"|runbook\.incidents\.(affected|case|causes|diagnosis|headroom|remedies|severity|texts.signatures|texts.weighing)"
)
IMPURE = {"os", "pathlib", "time", "subprocess", "socket", "io", "random"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_a_layer(package: str) -> None:
    assert {layer(name) for name in edges(package)} == set(ORDER[package].split()), (
        "Add the new directory or module to ORDER in tests/layout.py, after all that it imports, and run make fix"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_what_stands_to_its_right(package: str) -> None:
    place = {name: n for n, name in enumerate(ORDER[package].split())}
    wrong = [
        f"{name} → {to}"
        for name, others in edges(package).items()
        for to in others
        if place[layer(to)] > place[layer(name)]
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_goes_in_a_circle(package: str) -> None:
    assert next(layout.circles(edges(package)), None) is None


def test_a_circle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert [way for way in layout.circles(graph) if way[0] == "b"] == [["b", "c", "b"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_imports_the_root_of_their_own_package(package: str) -> None:
    names = [
        name for name, path in modules(package).items() if name != package for i in imports(path) if i.name == package
    ]
    assert names == []


def test_only_the_cloud_knows_google() -> None:
    for name, path in modules("runbook").items():
        found = {i.name for i in imports(path) if i.name.split(".")[0] in GOOGLE and not i.typing}
        if layer(name) != "cloud":
            assert found <= ({"google.api_core.exceptions"} if layer(name) in KNOW_ERRORS else set()), name


def test_pure_modules_are_pure() -> None:
    for name, path in modules("runbook").items():
        if PURE.match(name):
            assert not {i.name.split(".")[0] for i in imports(path)} & IMPURE, name


def test_only_what_sends_knows_the_actions() -> None:
    for name, others in edges("runbook").items():
        if any(to.startswith("runbook.apply.actions") for to in others):
            # Changes, the message to approvers, and a look whether a version is there.
            sends = ("runbook.apply.executor", "runbook.apply.ask", "runbook.apply.new_version")
            assert name in sends or name.startswith("runbook.apply.actions"), name


def test_the_sandbox_does_not_know_runbook() -> None:
    for name, path in modules("gcp_sandbox").items():
        assert not [i for i in imports(path) if i.name.split(".")[0] == "runbook"], name


def test_notebooks_import_from_the_root_only() -> None:
    for path in [*ROOT.glob("runbooks/*.ipynb"), *ROOT.glob("tests/examples/*.ipynb")]:
        found = set(re.findall(r"(?:from|import) (runbook[\w.]*)", path.read_text(encoding="utf-8")))
        assert found <= {"runbook"}, path.name


def test_the_drawing_in_contributing_is_true() -> None:
    assert layout.drawing() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), "make fix draws it again"


def test_every_directory_says_what_is_in_it() -> None:
    for path in LIB.glob("*/**/__init__.py"):
        said = path.read_text(encoding="utf-8").split('"""')[1].strip().splitlines()
        assert 3 <= len(said) <= 10, path
        assert any("Start with" in line or "Start there" in line for line in said) or path.parent.parent == LIB, path


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_have_docstrings(package: str) -> None:
    bare = []
    for name, path in modules(package).items():
        tree = layout.parsed(path)
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        said = [n for n in public if isinstance(n, ast.FunctionDef) or _has_body(n)]
        bare += [f"{name}.{n.name}" for n in said if not ast.get_docstring(n)]
        bare += [name] if tree.body and not ast.get_docstring(tree) else []
    assert not bare


def _has_body(node: ast.ClassDef) -> bool:
    """Whether a class does more than list its fields."""
    return any(isinstance(part, ast.FunctionDef) for part in node.body)


def test_budgets(record_property: Any) -> None:
    said, over = [], []
    for package, most in layout.BUDGET.items():
        sizes = {name: len(layout.code_lines(path)) for name, path in modules(package).items()}
        rooms: Counter[str] = Counter()
        for name, path in modules(package).items():
            rooms[str(path.parent.relative_to(LIB))] += sizes[name]
        largest = max(rooms, key=lambda name: rooms[name])
        long = {f"{name}.{f}": n for name, path in modules(package).items() for f, n in layout.functions(path)}
        full = sorted((n, name) for name, n in sizes.items() if n > layout.MODULE - layout.ROOM)
        almost = ", ".join(f"{name} {n}" for n, name in reversed(full)) or "no module"
        total, debt = sum(sizes.values()), layout.OVER.get(package, 0)
        now, change = max(total - most, 0), f"{abs(total - most - debt)} {'more' if total > most + debt else 'fewer'}"
        if total > most + debt or now < debt:
            over += [f"{package}: {total} lines, {change} than BUDGET and OVER allow; OVER would be {now}"]
        over += [f"{name}: {n}" for name, n in rooms.items() if n > layout.DIRECTORY]
        over += [f"{name}: {n}" for name, n in sizes.items() if n > layout.MODULE]
        over += [f"{name}: {n}" for name, n in long.items() if n > layout.FUNCTION]
        said.append(
            f"{package}: {total:,} of {most:,} lines of code ({max(total - most, 0)} over), and {layout.data_lines(package):,} of data; "
            f"largest directory {largest} {rooms[largest]:,} of {layout.DIRECTORY:,}, module {max(sizes.values())} of "
            f"{layout.MODULE}, function {max(long.values())} of {layout.FUNCTION}; almost full: {almost}"
        )
    record_property("summary", "\n".join(said))
    assert over == [], "; ".join(over) + layout.WHAT_TO_DO


def test_the_formatter_has_no_exemptions() -> None:
    mark = "# fm" + "t:"
    places = [*LIB.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert [str(p.relative_to(ROOT)) for p in places if mark in p.read_text(encoding="utf-8")] == []
