"""The BigQuery client is imported without pandas, in processes of their own; pandas can be imported afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEFORE = "import sys; from runbook.cloud.bigquery import bigquery"
WITH = ["import pandas; " + BEFORE, "import sys; sys.path.insert(0, 'with'); " + BEFORE]


@pytest.mark.parametrize(
    ("first", "imported"), [(BEFORE, False), *(pytest.param(first, True, marks=pytest.mark.full) for first in WITH)]
)
def test_pandas_is_imported_only_where_it_can_be_of_use(first: str, imported: bool, tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    kinds = "".join(f"class {kind}Dtype:\n    name = ''\n" for kind in ("Date", "Time"))
    (tmp_path / "with/db_dtypes.py").write_text(kinds)
    said = f"{first}; print('pandas' in sys.modules); import pandas; print(pandas.DataFrame.__name__)"
    ended = subprocess.run([sys.executable, "-c", said], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.stdout.split(), ended.stderr) == ([str(imported), "DataFrame"], "")
