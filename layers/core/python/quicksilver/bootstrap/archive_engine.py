"""The query port of a function: the engine that its stage has chosen."""

from __future__ import annotations

import time

from quicksilver.aws.athena import AthenaEngine
from quicksilver.aws.clients import client
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.aws.system import SystemClock
from quicksilver.query import QueryEngine
from quicksilver.settings import Engine, QueryingSettings
from quicksilver.sql.engine import DuckDBEngine


def archive_engine(
    settings: QueryingSettings, s3: object, late_hours: int, clock: SystemClock
) -> QueryEngine:
    """Records are looked for up to ``late_hours`` after their time."""
    if settings.engine is Engine.ATHENA:
        return AthenaEngine(
            client("athena"),
            workgroup=settings.athena_workgroup,
            database=settings.athena_database,
            clock=clock,
            pause=time.sleep,
            late_hours=late_hours,
        )
    memory_limit = f"{settings.duckdb_memory_mib}MiB"
    return DuckDBEngine(
        S3Archive(s3, settings.archive_bucket), late_hours=late_hours, memory_limit=memory_limit
    )
