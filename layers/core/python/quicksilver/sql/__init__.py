"""The archive's tables in DuckDB, the query port's engine inside a function or on a laptop; needs the ``duckdb`` package.

``engine`` opens the archive, ``loading`` reads its objects, ``dialect`` has what DuckDB calls otherwise than Trino.
"""
