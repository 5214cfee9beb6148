"""GoogleSQL: sql.py parses, names.py resolves, rewrite.py translates to DuckDB's SQL.

Constructs with another meaning in DuckDB are rewritten or refused. Start with sql.py.
"""
