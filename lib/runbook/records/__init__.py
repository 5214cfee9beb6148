"""The stored files: the directory of each run, its journal, and the store of plans, approvals and incidents.

In: the events of a run. Out: files that are correct after a crash, and only validated data from the store. Start with
record.py, which lists the files of a record, then store.py and plans.py.

What is offered here needs pydantic, so the command line imports it only when it is needed; plans.py, which takes time,
is imported from its module.
"""

from runbook.records.files import json_of, listed, mapping, now, probe, publish, writable, write_json
from runbook.records.journal import Journal, progress, row_names, rows_in, rows_of
from runbook.records.proof import Examined, examined
from runbook.records.provenance import account, code, person, require_committed, state
from runbook.records.record import begin, finish, is_report, read_report, records_directory, shown_report, store_of
from runbook.records.store import Directory, Store
