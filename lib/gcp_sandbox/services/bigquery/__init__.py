"""BigQuery: api.py has the routes, jobs.py the jobs, engine.py executes GoogleSQL on DuckDB, catalog.py has the tables.

sql.py parses, names.py resolves, rewrite.py says in DuckDB's words what GoogleSQL means. Start with engine.py.
"""
