"""google.cloud.bigquery, imported without pandas, which takes most of the time of that import.

The client needs pandas only for data frames. For these it needs db-dtypes, too, which is not among our packages: where
a team has installed it, pandas is imported as usual. `import pandas` still works everywhere else.
"""

import sys
from importlib.util import find_spec

_hidden = "pandas" not in sys.modules and find_spec("db_dtypes") is None
if _hidden:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # to the client, it is not installed
try:
    from google.cloud import bigquery as bigquery
finally:
    if _hidden:
        del sys.modules["pandas"]
