"""Cloud Logging: logging.py lists entries, log_filter.py reads its filter language, audit.py writes Admin Activity.

Start with logging.py.
"""
