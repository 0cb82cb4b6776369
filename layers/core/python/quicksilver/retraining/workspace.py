"""The workspace of a retraining: what its steps hand each other, as objects in the archive bucket.

``training/<endpoint>/<request id>/`` holds one file a step. A step writes its file whole and last, so whoever finds it
finds the step done; the same request gives the same bytes, so a step may be done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from quicksilver.errors import NotFound

TRAINING_PREFIX = "training/"


class WorkFile(StrEnum):
    """The files of one request, in the order they are made."""

    SET = "set.parquet"  # the training set, as the query of the request answers it
    FACTS = "set.json"  # what the set holds (``export.SetFacts``); it is written after it
    PACKAGE = "package.tar"  # the candidate
    EVALUATION = "evaluation.parquet"  # the rows it is judged on
    TRAINING = "training.json"  # what came of the training (``train.TrainingResult``), or why nothing could
    REPORT = "report.json"  # the gate report


class ObjectStore(Protocol):
    """Whole objects by key. Every call may raise ``Unavailable``."""

    def put(self, key: str, data: bytes) -> None:
        """Keep an object in the place of the one under its key."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """``put`` of a file's bytes, which memory need not hold."""
        ...

    def get(self, key: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Workspace:
    """The files of one request for a new model."""

    objects: ObjectStore
    endpoint: str
    request_id: str

    def key(self, file: WorkFile) -> str:
        return f"{TRAINING_PREFIX}{self.endpoint}/{self.request_id}/{file.value}"

    def put(self, file: WorkFile, data: bytes) -> None:
        self.objects.put(self.key(file), data)

    def put_file(self, file: WorkFile, path: Path) -> None:
        self.objects.put_file(self.key(file), path)

    def find(self, file: WorkFile) -> bytes | None:
        return self.objects.get(self.key(file))

    def get(self, file: WorkFile) -> bytes:
        """Raises ``NotFound`` where no step has made it."""
        data = self.find(file)
        if data is None:
            raise NotFound(f"The retraining {self.request_id} of {self.endpoint} has no {file.value}.")
        return data
