"""Cloud Run v2: run.py is the API, serving.py the services and their traffic.

revisions.py builds revisions. Start with serving.py.
"""
