"""What DuckDB calls otherwise than Trino, as macros of the connection."""

from __future__ import annotations

import duckdb

_MACROS = {
    "approx_distinct(x)": "approx_count_distinct(x)",
    "approx_percentile(x, p)": "approx_quantile(x, p)",
    "arbitrary(x)": "any_value(x)",
    "day_of_week(x)": "isodow(x)",
    "element_at(x, k)": "x[k]",
    "is_nan(x)": "isnan(x)",
    "regexp_like(s, pattern)": "regexp_matches(s, pattern)",
    "sequence(a, b)": "generate_series(a::BIGINT, b::BIGINT)",
    "to_unixtime(x)": "epoch(x)",
    "width_bucket(x, edges)": "len(list_filter(edges, lambda edge: edge <= x))",
}


def speak_trino(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection take SQL in Trino's words, with its division of integers."""
    connection.execute("SET integer_division = true")
    for name, meaning in _MACROS.items():
        connection.execute(f"CREATE OR REPLACE MACRO {name} AS {meaning}")
