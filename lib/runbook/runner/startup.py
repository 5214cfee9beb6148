"""Preparation of the runner's process before it imports papermill or nbformat."""

from __future__ import annotations

import sys


def prepare() -> None:
    """Keep jsonschema from compiling a grammar, which takes seconds at each start.

    If JupyterLab is installed, jsonschema imports this module, which compiles the grammar. No notebook field needs it.
    None makes the import fail, and jsonschema handles that.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
