"""BigQuery: api.py has the routes, jobs.py the jobs, engine.py executes GoogleSQL on DuckDB, catalog.py has the tables.

googlesql/ parses a statement and translates it to DuckDB's SQL. Start with engine.py.
"""
