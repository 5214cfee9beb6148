"""Work on records after a run: search, pages, post-mortems, export, verification, deletion and sealing.

In: directories of the record store, of which nothing is trusted. Out: rows, pages and drafts, which contain only
what those directories contain. templates/ has how they look; Google's audit log is read by facts/logs.py. Start with
index.py.
"""
