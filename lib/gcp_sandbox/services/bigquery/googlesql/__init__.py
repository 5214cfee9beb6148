"""GoogleSQL: sql.py parses, names.py resolves, rewrite.py says in DuckDB's words what GoogleSQL means.

What DuckDB would understand in another way is rewritten or refused. Start with sql.py.
"""
