"""Result of Cloud Build and of the first instance start, from uploaded source: it is read, never executed.

The messages are those of Google's buildpacks and of functions-framework
(https://github.com/GoogleCloudPlatform/buildpacks, https://github.com/GoogleCloudPlatform/functions-framework-python).
"""

from __future__ import annotations

import ast
import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

_MISSING = (
    "missing main.py and GOOGLE_FUNCTION_SOURCE not specified. Either create the function in main.py or specify "
    "GOOGLE_FUNCTION_SOURCE to point to the file that contains the function"
)

# Packages that functions-framework installs.
_INSTALLED = {"functions_framework", "flask", "werkzeug", "click", "cloudevents", "jinja2", "markupsafe", "gunicorn"}


@dataclass(frozen=True)
class Code:
    """`broken`: why the build fails; `dead`: why no instance starts; `defect`: the error of its runs."""

    broken: str = ""
    dead: str = ""
    defect: str = ""


def build(source: bytes, entry_point: str) -> Code:
    """Inspect a zip of source."""
    try:
        with zipfile.ZipFile(io.BytesIO(source)) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except zipfile.BadZipFile:
        return Code(broken="Failed to retrieve function source code")
    if "main.py" not in files:
        return Code(broken=_MISSING)
    for name in sorted(n for n in files if n.endswith(".py")):
        try:
            ast.parse(files[name], name)
        except (SyntaxError, ValueError) as error:
            at = f'  File "./{name}", line {getattr(error, "lineno", 1)}\n'
            return Code(broken=f"*** Error compiling './{name}'...\n{at}{type(error).__name__}: {error.args[0]}")
    main = ast.parse(files["main.py"])
    if missing := next(_not_installed(main, files), ""):
        return Code(dead=f"ModuleNotFoundError: No module named '{missing}'")
    if not any(isinstance(n, ast.FunctionDef) and n.name == entry_point for n in main.body):
        error = "functions_framework.exceptions.MissingTargetException"
        return Code(dead=f"{error}: File /workspace/main.py is expected to contain a function named '{entry_point}'.")
    failed = any(ast.unparse(n) == "SANDBOX_OUTCOME = 'failed'" for n in main.body)
    return Code(defect="RuntimeError: main.py says SANDBOX_OUTCOME = 'failed'" if failed else "")


def _not_installed(main: ast.Module, files: dict[str, bytes]) -> Iterator[str]:
    """Top-level imports of main.py that are not installed if the source has no requirements."""
    if files.get("requirements.txt", b"").strip():
        return
    own = {name.split("/")[0].removesuffix(".py") for name in files}
    for node in main.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from ({name.split(".")[0] for name in names} - own - _INSTALLED - sys.stdlib_module_names)
