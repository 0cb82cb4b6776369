"""What the archive holds when all is delivered: redeliver until nothing is kept, wait until nothing more comes, and count."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.soak_judge import Archived
from quicksilver.archive import PREDICTIONS
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.s3_archive import S3Archive
from quicksilver.errors import Unavailable
from quicksilver.query import Span
from quicksilver.rollup.recount import differences, recount
from quicksilver.sql.engine import DuckDBEngine

UNDELIVERED = "undelivered/"
STILL_S = 10
"""For so long nothing new comes into the archive: then it is all there."""
PATIENCE_S = 300


def redelivered(stage: DeployedStage) -> int:
    """Run ``redeliver`` until nothing is kept any more; returns how many records it put back. Raises ``Unavailable``."""
    put_back = 0
    deadline = time.monotonic() + PATIENCE_S
    s3, bucket = stage.client("s3"), stage.outputs["ArchiveBucket"]
    while s3.list_objects_v2(Bucket=bucket, Prefix=UNDELIVERED, MaxKeys=1).get("KeyCount"):
        put_back += int(stage.invoke(stage.function("redeliver"), {})["delivered"])
        if time.monotonic() > deadline:
            raise Unavailable(f"Records are still undelivered after {PATIENCE_S} s.")
    return put_back


def wait_until_still(stage: DeployedStage, endpoint: str, say: Callable[[str], None]) -> None:
    """Wait until the number of archived objects has stood still for a while."""
    seen, since = -1, time.monotonic()
    deadline = since + PATIENCE_S
    while time.monotonic() - since < STILL_S:
        now = sum(1 for _ in stage.archive.objects(PREDICTIONS, endpoint=endpoint, late_ms=0))
        if now != seen:
            seen, since = now, time.monotonic()
            say(f"{seen:,} objects in the archive")
        if time.monotonic() > deadline:
            raise Unavailable(f"The archive still grows after {PATIENCE_S} s.")
        time.sleep(1)


def counted(stage: DeployedStage, endpoint: str, span: Span, advance: Callable[[int, int], None]) -> Archived:
    """Count the table's rows, the records in its objects, and compare the rollup with a recount. The rollup gets time to
    come to the end of the stream."""
    told = stage.environment_of(stage.function("rollup"))
    period_ms = int(told["QUICKSILVER_ROLLUP_PERIOD_SECONDS"]) * 1_000
    cutoff = float(json.loads(told["QUICKSILVER_CUTOFFS"])[endpoint])
    since_ms = span.start_ms // period_ms * period_ms
    until_ms = (span.end_ms // period_ms + 1) * period_ms
    objects = _Counted(stage.archive)
    engine = DuckDBEngine(objects, progress=lambda _, done, total: advance(done, total))
    with engine.open(["predictions"], endpoint=endpoint) as database:
        rows = database.query("SELECT prediction_id, count(*) FROM predictions GROUP BY ALL").rows
        archive = recount(
            lambda sql, parameters: database.query(sql, parameters).records(),
            endpoint,
            since_ms=since_ms,
            until_ms=until_ms,
            period_ms=period_ms,
            cutoff=cutoff,
        )
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = differences(stage.rollup.periods(endpoint, since_ms=since_ms, until_ms=until_ms), archive)
        if not found or time.monotonic() > deadline:
            return Archived({str(name): int(count) for name, count in rows}, objects.copies, found)
        time.sleep(2)


class _Counted:
    """The archive, with each record counted as often as it lies in the objects that are read."""

    def __init__(self, archive: S3Archive) -> None:
        self.copies: Counter[str] = Counter()
        self.objects = archive.objects
        self._archive = archive
        self._lock = threading.Lock()

    def copy(self, key: str, file: Path) -> None:
        self._archive.copy(key, file)
        found = [json.loads(line)["prediction_id"] for line in file.read_bytes().splitlines()]
        with self._lock:
            self.copies.update(found)
