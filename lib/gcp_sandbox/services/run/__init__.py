"""Cloud Run v2: run.py is the API, serving.py the services and their traffic.

revisions.py says what a revision looks like. Start with serving.py.
"""
