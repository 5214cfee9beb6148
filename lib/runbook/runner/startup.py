"""What must be done before papermill or nbformat is imported, in the runner's process."""

from __future__ import annotations

import sys


def prepare() -> None:
    """Keep jsonschema from compiling a grammar for seconds at each start.

    Where JupyterLab is installed, jsonschema imports this module, which does that; notebooks have no field that needs
    it. None makes the import fail, which jsonschema allows for.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
