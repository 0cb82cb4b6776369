"""The archive: records in S3, and as SQL tables: ``predictions``, ``shadow_scores``, ``outcomes``, ``contracts``.

A table's columns are generated from its record, so that it cannot fall behind it. A record of an earlier schema has null
where it lacks a column or a member. Objects are JSON Lines, or Parquet where their name ends so; they lie in a folder
per endpoint and in one per UTC hour, ``yyyy/MM/dd/HH/``, by when they arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from quicksilver.archived_contract import ContractRow
from quicksilver.column_types import ColumnType, Scalar, columns_of
from quicksilver.outcomes import Outcome
from quicksilver.prediction import PredictionRecord
from quicksilver.query import Span
from quicksilver.shadow_score import ShadowScore

PREDICTIONS_PREFIX = "predictions/"
"""Where the stream's records are delivered in the archive bucket."""

SHADOW_PREFIX = "shadow/"
"""Where the shadow function leaves its scores, in a folder per UTC hour."""

OUTCOMES_PREFIX = "outcomes/"
"""Where outcomes are."""

CONTRACTS_PREFIX = "contracts/"
"""Where the contracts of vectors are."""

UNDELIVERED_PREFIX = "undelivered/"
"""Where records wait that the stream did not take."""

PARQUET = ".parquet"
"""How the name of an object ends that is not JSON Lines."""

HOUR_MS = 3_600_000
LATE_HOURS = 48
"""How long after their time records are looked for: redelivery takes days."""


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """A SQL table of what lies under one prefix, ``columns`` by name.

    Deliveries and batches are repeated, so a table has one row for each ``key`` (SQL, in which a plain
    column is never null): of rows with the same key the first in the order of ``choice`` (SQL). Where ``time`` is of the key, rows can be chosen by time before they are made one.
    ``folder_column`` is a column that the records lack and their folder says. Records that ``follow`` a prediction come
    whenever they do, the others within hours.
    """

    name: str
    prefix: str
    record_columns: Mapping[str, ColumnType]
    key: tuple[str, ...]
    choice: str
    by_endpoint: bool = True
    by_hour: bool = True
    follows: bool = False
    folder_column: str | None = None

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        said = {self.folder_column: Scalar.TEXT} if self.folder_column else {}
        return {**self.record_columns, **said}

    def folder(self, endpoint: str) -> str:
        """Where the endpoint's objects are, among all endpoints' where the table does not part them."""
        return f"{self.prefix}{endpoint}/" if self.by_endpoint else self.prefix

    def endpoint_of(self, key: str) -> str | None:
        """The endpoint that an object's folder says."""
        return key.removeprefix(self.prefix).split("/", 1)[0] if self.by_endpoint else None


# What was delivered twice has the same time, so that time may be of the key, which is as good as the id.
PREDICTIONS = ArchiveTable(
    "predictions",
    PREDICTIONS_PREFIX,
    columns_of(PredictionRecord),
    key=("endpoint", "prediction_id", "time"),
    choice="request_id",
)
SHADOW_SCORES = ArchiveTable(
    "shadow_scores",
    SHADOW_PREFIX,
    columns_of(ShadowScore),
    key=("endpoint", "prediction_id", "time", "model", "package_sha256"),
    choice="error NULLS FIRST, score_us",
    by_endpoint=False,
)
OUTCOMES = ArchiveTable(
    "outcomes",
    OUTCOMES_PREFIX,
    columns_of(Outcome),
    # What names its prediction (``Outcome.subject``): its id, or else entity and moment of the event.
    key=(
        "endpoint",
        "coalesce(prediction_id, '')",
        "CASE WHEN prediction_id IS NULL THEN entity_id END",
        "CASE WHEN prediction_id IS NULL THEN event_time END",
    ),
    # The latest; of two labels at one time the bad one, and the larger amount.
    choice="time DESC, label DESC, amount DESC NULLS LAST",
    follows=True,
    folder_column="endpoint",
)
CONTRACTS = ArchiveTable(
    "contracts",
    CONTRACTS_PREFIX,
    columns_of(ContractRow),
    key=("fingerprint", "position"),
    choice="feature",
    by_endpoint=False,
    by_hour=False,
)
TABLES: Mapping[str, ArchiveTable] = {
    table.name: table for table in (PREDICTIONS, SHADOW_SCORES, OUTCOMES, CONTRACTS)
}
"""Every table of the archive, by name."""


class ArchiveObject(NamedTuple):
    """An object's name and its size in bytes."""

    key: str
    size: int


class ArchiveReader(Protocol):
    """Where the archive's objects are: in S3, or in a folder of this machine."""

    def objects(
        self, table: ArchiveTable, span: Span | None = None, *, endpoint: str | None = None, late_ms: int
    ) -> Iterable[ArchiveObject]:
        """The objects that may hold records of a span of time (``hours``), or all. Raises ``Unavailable``."""
        ...

    def copy(self, key: str, file: Path) -> None:
        """Have an object as a file, in bounded memory. Raises ``Unavailable``."""
        ...


def hours(table: ArchiveTable, span: Span | None, late_ms: int) -> tuple[str, str | None]:
    """The first and the last folder ``yyyy/MM/dd/HH/`` in which records of a span can be; no last one for a table of what
    follows, and neither without a span.

    An object lies where its *oldest* record belongs, by arrival (Amazon Data Firehose Developer Guide, "Understand custom
    prefixes"), and is closed within the hour; records arrive after their time, some of them late.
    """
    if span is None or not table.by_hour:
        return "", None
    first = hour_folder(span.start_ms - HOUR_MS)
    return first, None if table.follows else hour_folder(span.end_ms + late_ms)


def hour_folder(epoch_ms: int) -> str:
    """``yyyy/MM/dd/HH/`` of a moment."""
    return f"{datetime.fromtimestamp(epoch_ms / 1_000, UTC):%Y/%m/%d/%H}/"
