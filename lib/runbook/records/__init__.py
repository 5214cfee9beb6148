"""The stored files: the folder of each run, its journal, and the store of plans, approvals and incidents.

In: the events of a run. Out: files that are correct after a crash, and only validated data from the store. Start with
record.py, which lists the files of a record, then store.py and plans.py.
"""
