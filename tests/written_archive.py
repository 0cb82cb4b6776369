"""An archive that a test writes itself, behind the query port."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from quicksilver.archive_folder import FolderArchive
from quicksilver.memory import MemoryOutcomeStore
from quicksilver.outcomes import Outcome, keep_outcomes
from quicksilver.sql.engine import DuckDBEngine
from tests.archives import archived

if TYPE_CHECKING:
    from quicksilver.prediction import PredictionRecord
    from quicksilver.query import OpenArchive, Span


@dataclass
class WrittenArchive:
    """Predictions, and outcomes by endpoint, given in any order and as often as a test likes; ``broken`` are objects that
    are none. Whatever the span, all of it is there: queries have to say what they want."""

    predictions: list[PredictionRecord] = field(default_factory=list)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    broken: list[bytes] = field(default_factory=list)

    @property
    def slice_ms(self) -> int | None:
        return None

    @contextmanager
    def open(
        self, tables: Sequence[str], span: Span | None = None, *, endpoint: str | None = None
    ) -> Iterator[OpenArchive]:
        store = MemoryOutcomeStore()
        for name, outcomes in self.outcomes.items():
            keep_outcomes(store, name, outcomes)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            lines = b"".join(record.to_entry().data for record in self.predictions)
            archived(folder, "predictions", lines)
            for number, (whose, kept) in enumerate(store.kept):
                archived(folder, "outcomes", kept, endpoint=whose, name=f"{number}.jsonl")
            for number, content in enumerate(self.broken):
                archived(folder, "outcomes", content, name=f"broken-{number}.jsonl")
            with DuckDBEngine(FolderArchive(folder)).open(tables, endpoint=endpoint) as database:
                yield database
