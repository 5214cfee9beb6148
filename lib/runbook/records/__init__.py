"""What is kept: the folder of each run, its journal, and the store of plans, approvals and incidents.

In: what a run did. Out: files that tell the truth after a crash, and nothing from the store that was not checked.
Start with record.py, which says what a record consists of, then store.py and plans.py.
"""
