"""Work on records after a run: found again, read as pages, told as a post-mortem, exported, pruned, sealed.

In: folders of the record store, of which nothing is trusted. Out: rows, pages and drafts that contain only what those
folders contain. templates/ has how they look; Google's audit log is read by facts/logs.py. Start with index.py.
"""
