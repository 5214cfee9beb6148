"""What records are used for afterwards: sealing a session that nobody watched, and the post-mortem of an incident.

In: folders of the record store. Out: records and drafts that say nothing which is not in them. Start with seal.py.
"""
