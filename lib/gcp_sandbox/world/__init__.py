"""State and history of a sandbox, without any API: a world file and what follows from it.

In: a YAML file (its language is documented in schema.py), and the system as plain data (inventory.py). Out: runs, log
entries and times (story.py), with the texts of real failures (failures.yaml). select.py finds the functions that an
entry is about. roles.yaml has the permissions of Google's predefined roles. Start with schema.py.
"""
