"""What is true and what happened in a sandbox, without any API: a world's file and what follows from it.

In: a YAML file (its language is documented in schema.py), and the system as plain data (inventory.py). Out: runs, log
entries and times (story.py), in the words of real failures (failures.py). Start with schema.py.
"""
