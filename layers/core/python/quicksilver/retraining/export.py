"""The training set of a request, from the archive into its workspace. Not on the request path; needs ``duckdb``.

Memory holds a batch of rows, whatever the window. The same request gives the same rows in the same order, and so the same
file; one that is there already is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict

from quicksilver.drift_policy import DriftPolicy
from quicksilver.instants import epoch_ms
from quicksilver.model_version import Sha256
from quicksilver.query import OpenArchive, QueryEngine, Span, text
from quicksilver.retraining.ending import Ending, EndingKind
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.training_query import TABLES
from quicksilver.retraining.workspace import ObjectStore, WorkFile, Workspace

BATCH_ROWS = 10_000
MEMORY_LIMIT = "512MB"
"""What writing the file may hold."""

COLUMNS: Mapping[str, str] = {
    "prediction_id": "VARCHAR",
    "time": "TIMESTAMP",
    "vector": "DOUBLE[]",
    "label": "BOOLEAN",
    "groups": "MAP(VARCHAR, VARCHAR)",
    "degraded": "STRUCT(feature VARCHAR, cause VARCHAR)[]",
}


class SetFacts(BaseModel):
    """What a training set holds: rows, how many of them are bad, the times of the first and the last (None: it is empty),
    and the objects of the archive that could not be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    bad: int
    start: str | None
    end: str | None
    sha256: Sha256
    skipped: int


@dataclass(frozen=True, slots=True)
class TrainingSets:
    """Writes training sets. ``folder`` is where a set is written before it is kept (the system's own by default)."""

    engine: QueryEngine
    objects: ObjectStore
    policies: Mapping[str, DriftPolicy]
    folder: Path | None = None

    def export(self, request: RetrainRequest) -> SetFacts:
        """Leave a request's training set in its workspace and say what it holds.

        Raises ``InvalidQuery`` and ``Unavailable``.
        """
        workspace = Workspace(self.objects, request.endpoint, request.id)
        found = workspace.find(WorkFile.FACTS)
        if found is not None:
            return SetFacts.model_validate_json(found)
        with (
            tempfile.TemporaryDirectory(prefix="quicksilver-training-", dir=self.folder) as name,
            self.engine.open(TABLES, self._span(request), endpoint=request.endpoint) as archive,
        ):
            file = Path(name) / WorkFile.SET
            facts = write_set(archive, request.training_set.sql, file)
            workspace.put_file(WorkFile.SET, file)
        workspace.put(WorkFile.FACTS, facts.model_dump_json().encode())
        return facts

    def _span(self, request: RetrainRequest) -> Span:
        """The set's own span; where outcomes name entities, until the moment of the request, for a later prediction of an
        entity may be the one that an outcome is of."""
        own = Span(epoch_ms(request.training_set.start), epoch_ms(request.training_set.end))
        sql = f"SELECT count_if(prediction_id IS NULL) AS n FROM outcomes WHERE endpoint = {text(request.endpoint)}"  # noqa: S608
        with self.engine.open(["outcomes"], own, endpoint=request.endpoint) as archive:
            by_entity = archive.query(sql).rows[0][0]
        return Span(own.start_ms, max(own.end_ms, epoch_ms(request.requested_at) + 1)) if by_entity else own

    def too_few(self, request: RetrainRequest, facts: SetFacts) -> Ending | None:
        """The end of a request whose set is too small to train on; None where it is not."""
        policy = self.policies[request.endpoint]
        wanted, bad = policy.retraining.min_training_rows, policy.performance.min_bad
        if facts.rows >= wanted and bad <= facts.bad <= facts.rows - bad:
            return None
        sentence = (
            f"There are {facts.rows:,} predictions with an outcome, {facts.bad:,} of them bad; a model is trained on "
            f"{wanted:,} at least, with {bad:,} bad and {bad:,} good ones."
        )
        return Ending(kind=EndingKind.TOO_FEW_ROWS, sentence=sentence)


@dataclass
class _Tally:
    rows: int = 0
    bad: int = 0
    times: list[str] = field(default_factory=list)

    def add(self, record: Mapping[str, Any]) -> None:
        self.rows += 1
        self.bad += bool(record["label"])
        self.times[1:] = [record["time"]]


def write_set(archive: OpenArchive, sql: str, file: Path) -> SetFacts:
    """Write the answer to ``sql`` as Parquet, in its order. Raises ``InvalidQuery`` and ``Unavailable``."""
    tally, lines = _Tally(), file.with_suffix(".jsonl")
    with lines.open("wb") as target:
        for record in _records(archive, sql):
            tally.add(record)
            target.write(json.dumps(record, allow_nan=False).encode() + b"\n")
    _to_parquet(lines, file)
    lines.unlink()
    return SetFacts(
        rows=tally.rows,
        bad=tally.bad,
        start=_utc(tally.times[0]) if tally.times else None,
        end=_utc(tally.times[-1]) if tally.times else None,
        sha256=_sha256(file),
        skipped=len(archive.skipped),
    )


def _records(archive: OpenArchive, sql: str) -> Iterator[dict[str, Any]]:
    for batch in archive.batches(sql, BATCH_ROWS):
        for record in batch.records():
            yield {
                "prediction_id": record["prediction_id"],
                "time": _iso(record["time"]),
                "vector": [
                    None if value is None or math.isnan(value) else float(value) for value in record["vector"]
                ],
                "label": bool(record["label"]),
                "groups": json.loads(record["groups"] or "{}"),
                "degraded": _features(json.loads(record["degraded"] or "[]")),
            }


def _features(degraded: Sequence[Any]) -> list[dict[str, str]]:
    """Which features were degraded, and why. A row is an object in the JSON of DuckDB, and an array in that of some Trino.

    https://trino.io/docs/current/functions/json.html#cast-to-json
    """
    found = []
    for item in degraded:
        feature, cause = (item.get("feature"), item.get("cause")) if isinstance(item, dict) else item[:2]
        if feature is not None:
            found.append({"feature": feature, "cause": cause})
    return found


def _iso(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="milliseconds")


def _utc(text: str) -> str:
    return text.replace(" ", "T") + "Z"


def _to_parquet(lines: Path, file: Path) -> None:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    with duckdb.connect() as connection:
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET temp_directory = $folder", {"folder": str(file.parent / "spill")})
        # One writer in the order of the lines: the same rows, the same bytes.
        connection.execute("SET threads = 1")
        source = f"read_json($lines, format = 'newline_delimited', columns = {{{columns}}})"
        connection.execute(
            f"COPY (SELECT * FROM {source}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)",  # noqa: S608 - our own path
            {"lines": str(lines)},
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
