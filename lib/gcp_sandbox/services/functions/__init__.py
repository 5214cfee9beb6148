"""Cloud Functions v2: functions.py lists and describes them, deploy.py changes them, build.py reads uploaded code.

call.py calls a function. Start with functions.py.
"""
