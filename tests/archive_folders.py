"""An archive that a test writes itself, open for queries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quicksilver.memory import MemoryOutcomeStore
from quicksilver.outcomes import Outcome, keep_outcomes
from quicksilver.sql import ArchiveDatabase, archive_database

if TYPE_CHECKING:
    from quicksilver.prediction import PredictionRecord
    from quicksilver.query import OpenArchive, Skipped, Span, Table


@dataclass
class Opened:
    database: ArchiveDatabase
    skipped: Sequence[Skipped] = ()

    def query(self, sql: str) -> Table:
        return self.database.query(sql)

    def batches(self, sql: str, rows: int) -> Iterator[Table]:
        return self.database.batches(sql, rows)


@dataclass
class WrittenArchive:
    """Predictions and outcomes, given in any order and as often as a test likes; the query port on both."""

    predictions: list[PredictionRecord] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()
    opened: int = 0

    @property
    def slice_ms(self) -> int | None:
        return None

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[OpenArchive]:
        self.opened += 1
        store = MemoryOutcomeStore()
        for name, outcomes in self.outcomes.items():
            keep_outcomes(store, name, outcomes)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "predictions.jsonl").write_bytes(
                b"".join(record.to_entry().data for record in self.predictions)
            )
            (folder / "outcomes.jsonl").write_bytes(b"".join(lines for _, lines in store.kept))
            with archive_database(folder) as database:
                yield Opened(database, self.skipped)
