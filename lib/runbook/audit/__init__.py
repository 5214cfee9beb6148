"""Work on records after a run: sealing an unsupervised session, and drafting the post-mortem of an incident.

Google's audit log is read by facts/logs.py, not here. In: folders of the record store. Out: records and drafts
that contain only what those folders contain. Start with seal.py.
"""
