"""BigQuery: api.py has the routes, jobs.py the jobs, engine.py executes GoogleSQL on DuckDB, catalog.py has the tables.

googlesql/ parses a statement and says it in DuckDB's words. Start with engine.py.
"""
