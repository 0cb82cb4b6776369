"""What the capabilities need from the outside world, as Protocols.

``aws/`` implements them on AWS, ``memory.py`` in memory; one contract suite runs on both, so the
fakes cannot drift from the real thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from quicksilver.metrics import Metric
from quicksilver.model_version import ModelVersion
from quicksilver.routing import Route


class Clock(Protocol):
    """Time, passed in so that tests own it."""

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds that never go back; only differences mean anything."""
        ...


class Metrics(Protocol):
    """Where counts go. An implementation decides on namespace and dimensions."""

    def count(self, name: Metric, value: int = 1) -> None: ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which a request must have its answer."""

    clock: Clock
    at_us: int

    @classmethod
    def after_ms(cls, clock: Clock, budget_ms: int) -> Deadline:
        return cls(clock, clock.monotonic_us() + budget_ms * 1_000)

    def remaining_seconds(self) -> float:
        """Seconds left; zero or less when the deadline has passed."""
        return (self.at_us - self.clock.monotonic_us()) / 1_000_000


class FeatureKey(NamedTuple):
    """One row of the feature store: a feature group and the key of its row."""

    group: str
    key: str


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """The features of one key, all computed as of one moment (UTC epoch ms)."""

    key: FeatureKey
    as_of_ms: int
    values: Mapping[str, bool | int | float | str]


@dataclass(frozen=True, slots=True)
class FeatureReading:
    """What a read found. A key in neither ``rows`` nor ``late`` has no row in the store."""

    rows: Mapping[FeatureKey, FeatureRow]
    late: frozenset[FeatureKey] = frozenset()


class FeatureStore(Protocol):
    """Online features, read by key on the request path."""

    def read(self, keys: Sequence[FeatureKey], names: Sequence[str], deadline: Deadline) -> FeatureReading:
        """Read the named features of up to 100 keys, each key once.

        Returns in time whatever happens: keys the store could not answer for before the deadline,
        or at all, are ``late``. A throttled key is late, never absent.
        """
        ...

    def write(self, rows: Iterable[FeatureRow]) -> int:
        """Write rows, each whole; returns how many. A row replaces the one under its key."""
        ...


class ArtifactStore(Protocol):
    """Model packages by content: ``package_sha256`` names the bytes, so nothing is ever overwritten."""

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        """Store a package. The manifest is written last, so a package is whole or absent."""
        ...

    def get(self, package_sha256: str, name: str) -> bytes:
        """One file's bytes as they are stored now. Raises ``NotFound``."""
        ...


class RegistryStore(Protocol):
    """Model versions and routes. Every write is conditional; a lost race raises ``Conflict``."""

    def add_model_version(self, model_version: ModelVersion) -> None:
        """Store a model version. Raises ``Conflict`` where its number or its package is taken."""
        ...

    def model_version(self, endpoint: str, number: int) -> ModelVersion | None: ...

    def model_version_of_package(self, endpoint: str, package_sha256: str) -> ModelVersion | None: ...

    def latest_model_number(self, endpoint: str) -> int:
        """The highest number registered for the endpoint; 0 where there is none."""
        ...

    def model_versions(self, endpoint: str) -> Iterable[ModelVersion]:
        """Every model version of the endpoint, by rising number."""
        ...

    def add_route(self, route: Route) -> None:
        """Store a route and make it current. Raises ``Conflict`` unless its number follows the current one's."""
        ...

    def current_route(self, endpoint: str) -> Route | None: ...

    def routes(self, endpoint: str) -> Iterable[Route]:
        """Every route the endpoint ever had, by rising number."""
        ...


class LogEntry(NamedTuple):
    """One serialized prediction record (JSON, newline at its end) and its partition key."""

    prediction_id: str
    partition_key: str
    data: bytes


class PredictionStream(Protocol):
    """The stream of prediction records."""

    def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Put entries on the stream, retrying what is worth it; returns those not accepted.

        Never raises for a stream that is missing, throttled or unreachable: what was not
        acknowledged is returned.
        """
        ...


class UndeliveredStore(Protocol):
    """Prediction records the stream did not take, kept until it does."""

    def keep(self, endpoint: str, entries: Sequence[LogEntry]) -> None:
        """Keep entries durably, all or none. Raises ``Unavailable``."""
        ...

    def batches(self) -> Iterable[str]:
        """The names of the batches kept, oldest first."""
        ...

    def read(self, batch: str) -> Sequence[LogEntry]:
        """A batch's entries. Raises ``InvalidInput`` for one that is not prediction records."""
        ...

    def replace(self, batch: str, entries: Sequence[LogEntry]) -> None:
        """Leave only these entries in a batch, at once or not at all. Raises ``Unavailable``."""
        ...

    def discard(self, batch: str) -> None: ...
