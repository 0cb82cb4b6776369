"""Time-travel shadow: a model scores archived vectors before it ever sees live traffic, on this machine.

The scores are what the shadow function would have left for the same records, and go into the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import NamedTuple

from quicksilver.archive import SHADOW_SCORES
from quicksilver.package import Package
from quicksilver.ports import ArtifactStore
from quicksilver.routing import Arm
from quicksilver.shadow.scoring import ScoredVector, ShadowScorer
from quicksilver.sql.engine import ArchiveDatabase

PAGE = 5_000
"""Records held in memory at once."""


class Replayed(NamedTuple):
    """How many records were scored, or found not to be, and in how long."""

    rows: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


class PackageBeside:
    """An artifact store with one more package in it, which nobody has registered."""

    def __init__(self, package: Package, store: ArtifactStore) -> None:
        self._package = package
        self._store = store

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        self._store.put(package_sha256, files)

    def get(self, package_sha256: str, name: str) -> bytes:
        if package_sha256 == self._package.sha256:
            return self._package.files[name]
        return self._store.get(package_sha256, name)


def replay(
    database: ArchiveDatabase,
    *,
    endpoint: str,
    arm: Arm,
    since: str,
    until: str,
    scorer: ShadowScorer,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """Score the endpoint's predictions of a time (UTC ISO-8601) with one model, into the table ``shadow_scores``.

    Raises ``Unavailable`` where an artefact's store does not answer.
    """
    bounds = {"endpoint": endpoint, "since": since, "until": until}
    database.query(
        """
        CREATE OR REPLACE TEMP TABLE replayed AS
        SELECT row_number() OVER () AS row, prediction_id, endpoint, entity_id,
               strftime(time, '%Y-%m-%dT%H:%M:%S.%gZ') AS time, model, package_sha256, fingerprint,
               vector, [{'feature': d.feature} FOR d IN degraded] AS degraded
        FROM predictions
        WHERE endpoint = $endpoint AND len(vector) > 0 AND time >= $since::TIMESTAMPTZ AT TIME ZONE 'UTC'
          AND time < $until::TIMESTAMPTZ AT TIME ZONE 'UTC'
        """,
        bounds,
    )
    total = int(database.query("SELECT count(*) FROM replayed").rows[0][0])
    file = database.folder / "replayed.jsonl"
    started, done = perf_counter(), 0
    with file.open("w", encoding="utf-8") as target:
        for record in _records(database):
            target.write(f"{scorer.score(record, arm).model_dump_json()}\n")
            done += 1
            if progress and (done % 500 == 0 or done == total):
                progress(done, total)
    seconds = perf_counter() - started
    database.append(SHADOW_SCORES, file)
    file.unlink()
    return Replayed(done, seconds)


def _records(database: ArchiveDatabase) -> Iterator[ScoredVector]:
    """The chosen records, a page at a time."""
    after = 0
    while True:
        page = database.query(
            """
            SELECT * FROM replayed WHERE row > $after AND row <= $after + $page ORDER BY row
            """,
            {"after": after, "page": PAGE},
        )
        if not page.rows:
            return
        for row, *values in page.rows:
            yield ScoredVector.model_validate(dict(zip(page.columns[1:], values, strict=True)))
            after = row  # the page's last
