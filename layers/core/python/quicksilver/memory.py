"""Every port in memory, for unit tests. The contract suite holds them to what the DynamoDB ones do."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from quicksilver.errors import Conflict, NotFound, Unavailable
from quicksilver.history import Entry, Head
from quicksilver.metrics import Metric
from quicksilver.model_version import ModelVersion
from quicksilver.monitoring import Kind
from quicksilver.ports import (
    Announcement,
    Change,
    Deadline,
    FeatureKey,
    FeatureReading,
    FeatureRow,
    Hold,
    LogEntry,
)
from quicksilver.rollup_counts import Lane, LaneKey, Period, periods
from quicksilver.routing import Route


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self, now_ms: int = 1_760_000_000_000) -> None:
        self._now_us = now_ms * 1_000

    def now_ms(self) -> int:
        return self._now_us // 1_000

    def monotonic_us(self) -> int:
        return self._now_us

    def advance_ms(self, milliseconds: int) -> None:
        self._now_us += milliseconds * 1_000


class MemoryMetrics:
    """Counts, by name, and those of arms by endpoint and arm."""

    def __init__(self) -> None:
        self.counts: dict[Metric, int] = {}
        self.arms: dict[tuple[str, str], dict[Metric, int]] = {}

    def count(self, name: Metric, value: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + value

    def count_arm(self, endpoint: str, arm: str, counts: Mapping[Metric, int]) -> None:
        counted = self.arms.setdefault((endpoint, arm), {})
        for name, value in counts.items():
            counted[name] = counted.get(name, 0) + value


class MemoryScores:
    """Scores, in order."""

    def __init__(self) -> None:
        self.given: list[float] = []

    def add(self, score: float) -> None:
        self.given.append(score)


class MemoryFeatureStore:
    def __init__(self) -> None:
        self._rows: dict[FeatureKey, FeatureRow] = {}
        self.late: frozenset[FeatureKey] = frozenset()

    def read(self, keys: Sequence[FeatureKey], names: Sequence[str], deadline: Deadline) -> FeatureReading:
        late = frozenset(keys) if deadline.remaining_seconds() <= 0 else self.late & frozenset(keys)
        rows = {
            key: FeatureRow(
                key, row.as_of_ms, {name: row.values[name] for name in names if name in row.values}
            )
            for key in keys
            if key not in late and (row := self._rows.get(key))
        }
        return FeatureReading(rows, late)

    def write(self, rows: Iterable[FeatureRow]) -> int:
        written = {row.key: row for row in rows}
        self._rows.update(written)
        return len(written)


class MemoryIdempotencyStore:
    """Keys that can be told to be out of reach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holds: dict[str, Hold] = {}
        self.available = True

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        self._check(deadline)
        with self._lock:
            holder = self.holds.get(hold.key)
            ours = holder is not None and holder.attempt == hold.attempt and holder.answer is None
            if holder is None or holder.until_ms <= now_ms or ours:
                self.holds[hold.key] = holder = hold
            return holder

    def release(self, hold: Hold, *, deadline: Deadline) -> None:
        self._check(deadline)
        with self._lock:
            holder = self.holds.get(hold.key)
            if holder and holder.attempt == hold.attempt and holder.answer is None:
                del self.holds[hold.key]

    def _check(self, deadline: Deadline) -> None:
        if not self.available or deadline.remaining_seconds() <= 0:
            raise Unavailable("The store of keys does not answer.")


class MemoryArtifactStore:
    def __init__(self) -> None:
        self.files: dict[tuple[str, str], bytes] = {}

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self.files.setdefault((package_sha256, name), data)

    def get(self, package_sha256: str, name: str) -> bytes:
        try:
            return self.files[package_sha256, name]
        except KeyError:
            raise NotFound(f"The package {package_sha256} has no {name}.") from None

    def put_evidence(self, sha256: str, report: bytes) -> None:
        self.files.setdefault(("evidence", sha256), report)

    def get_evidence(self, sha256: str) -> bytes:
        try:
            return self.files["evidence", sha256]
        except KeyError:
            raise NotFound(f"There is no evidence {sha256}.") from None


class MemoryRegistryStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[str, Head] = {}
        self._models: dict[str, dict[int, ModelVersion]] = {}
        self._routes: dict[str, list[Route]] = {}
        self._entries: dict[str, list[Entry]] = {}

    def head(self, endpoint: str) -> Head:
        return self._heads.get(endpoint) or Head(endpoint=endpoint)

    def commit(self, change: Change) -> None:
        endpoint = change.head.endpoint
        with self._lock:
            if self.head(endpoint) != change.expected:
                raise Conflict(f"The registry of {endpoint} has changed since it was read.")
            self._heads[endpoint] = change.head
            self._entries.setdefault(endpoint, []).append(change.entry)
            if change.model_version:
                self._models.setdefault(endpoint, {})[change.model_version.number] = change.model_version
            if change.route:
                self._routes.setdefault(endpoint, []).append(change.route)

    def model_version(self, endpoint: str, number: int) -> ModelVersion | None:
        return self._models.get(endpoint, {}).get(number)

    def model_version_of_package(self, endpoint: str, package_sha256: str) -> ModelVersion | None:
        models = self._models.get(endpoint, {}).values()
        return next((model for model in models if model.package_sha256 == package_sha256), None)

    def model_versions(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[ModelVersion]:
        models = self._models.get(endpoint, {})
        return [models[number] for number in sorted(models) if number > after][:limit]

    def current_route(self, endpoint: str, *, seconds: float | None = None) -> Route | None:
        if seconds is not None and seconds <= 0:
            raise Unavailable("The registry was not asked: there is no time left.")
        routes = self._routes.get(endpoint)
        return routes[-1] if routes else None

    def route(self, endpoint: str, number: int) -> Route | None:
        routes = self._routes.get(endpoint, [])
        return next((route for route in routes if route.number == number), None)

    def route_at(self, endpoint: str, time: str) -> Route | None:
        earlier = [route for route in self._routes.get(endpoint, []) if route.created_at <= time]
        return earlier[-1] if earlier else None

    def routes(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Route]:
        return [route for route in self._routes.get(endpoint, []) if route.number > after][:limit]

    def history(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        return [entry for entry in self._entries.get(endpoint, []) if entry.number > after][:limit]


class MemorySigner:
    """A keyed hash in the place of a signature: nobody without the key can make one that verifies."""

    def __init__(self, key: bytes = b"memory") -> None:
        self._key = key

    def sign(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, digest, "sha256")

    def verify(self, digest: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(digest), signature)


class MemoryPredictionStream:
    """A stream that can be told to refuse entries."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.refusing: frozenset[str] | bool = False

    def put(self, entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
        refused = [entry for entry in entries if self._refuses(entry)]
        self.entries += [entry for entry in entries if entry not in refused]
        return refused

    def _refuses(self, entry: LogEntry) -> bool:
        return self.refusing if isinstance(self.refusing, bool) else entry.prediction_id in self.refusing


class MemoryUndeliveredStore:
    def __init__(self) -> None:
        self.kept: dict[str, Sequence[LogEntry]] = {}
        self.available = True
        self._number = 0

    def keep(self, endpoint: str, entries: Sequence[LogEntry]) -> None:
        if not self.available:
            raise Unavailable("The store of undelivered predictions is unavailable.")
        self._number += 1
        self.kept[f"{endpoint}/{self._number:08d}"] = tuple(entries)

    def batches(self) -> Iterable[str]:
        return sorted(self.kept)

    def read(self, batch: str) -> Sequence[LogEntry]:
        return self.kept.get(batch, ())

    def replace(self, batch: str, entries: Sequence[LogEntry]) -> None:
        self.kept[batch] = tuple(entries)

    def discard(self, batch: str) -> None:
        self.kept.pop(batch, None)


class MemoryRollupStore:
    """Lanes that can be told to be out of reach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[LaneKey, Lane] = {}
        self._pages: dict[LaneKey, dict[int, frozenset[bytes]]] = {}
        self.available = True

    def periods(self, endpoint: str, *, since_ms: int, until_ms: int) -> Sequence[Period]:
        self._check()
        return periods(
            (key.start_ms, lane.arms)
            for key, lane in self._lanes.copy().items()
            if key.endpoint == endpoint and since_ms <= key.start_ms < until_ms
        )

    def lane(self, key: LaneKey) -> Lane:
        self._check()
        return self._lanes.get(key) or Lane(key)

    def paged(self, key: LaneKey) -> frozenset[bytes]:
        self._check()
        return frozenset().union(*self._pages.get(key, {}).copy().values())

    def put_page(self, lane: Lane) -> None:
        self._check()
        with self._lock:
            self._pages.setdefault(lane.key, {})[lane.version] = lane.recent

    def put_lane(self, lane: Lane) -> None:
        self._check()
        with self._lock:
            stored = self._lanes.get(lane.key)
            if (stored.version if stored else 0) != lane.version - 1:
                raise Conflict(f"Somebody else has written a lane of {lane.key.endpoint}.")
            self._lanes[lane.key] = lane

    def _check(self) -> None:
        if not self.available:
            raise Unavailable("The rollup's store does not answer.")


class MemoryShadowScoreStore:
    """Batches of scores by the moment they arrived and their name; it can be told to be out of reach."""

    def __init__(self) -> None:
        self.batches: dict[tuple[int, str], bytes] = {}
        self.available = True

    def keep(self, batch: str, arrived_ms: int, lines: bytes) -> None:
        if not self.available:
            raise Unavailable("The archive cannot be reached.")
        self.batches[arrived_ms, batch] = lines


class MemoryAnnouncer:
    def __init__(self) -> None:
        self.announced: list[Announcement] = []

    def announce(self, announcement: Announcement) -> None:
        self.announced.append(announcement)


class MemoryAnnouncementCursor:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._positions: dict[str, int] = {}

    def position(self, endpoint: str) -> int:
        return self._positions.get(endpoint, 0)

    def move(self, endpoint: str, number: int) -> None:
        with self._lock:
            self._positions[endpoint] = max(number, self.position(endpoint))


class MemoryContractStore:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.available = True

    def keep(self, fingerprint: str, lines: bytes) -> None:
        if not self.available:
            raise Unavailable("The archive is unavailable.")
        self.kept.setdefault(fingerprint, lines)


class MemoryOutcomeStore:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, bytes], None] = {}
        self.available = True

    def keep(self, endpoint: str, lines: bytes) -> None:
        if not self.available:
            raise Unavailable("The archive is unavailable.")
        self.kept[endpoint, lines] = None


class MemoryMonitoringStore:
    """Documents that can be told to be out of reach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[tuple[Kind, str, str], bytes] = {}
        self.available = True

    def put(self, kind: Kind, endpoint: str, name: str, document: bytes) -> None:
        self._check()
        with self._lock:
            self._documents[kind, endpoint, name] = document

    def claim(self, kind: Kind, endpoint: str, name: str, document: bytes) -> bool:
        self._check()
        with self._lock:
            if (kind, endpoint, name) in self._documents:
                return False
            self._documents[kind, endpoint, name] = document
            return True

    def get(self, kind: Kind, endpoint: str, name: str) -> bytes | None:
        self._check()
        return self._documents.get((kind, endpoint, name))

    def names(self, kind: Kind, endpoint: str, *, since: str = "") -> Iterator[str]:
        self._check()
        with self._lock:
            kept = list(self._documents)
        return iter(sorted(name for *of, name in kept if of == [kind, endpoint] and name >= since))

    def _check(self) -> None:
        if not self.available:
            raise Unavailable("The archive cannot be reached.")


class MemoryObjectStore:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.available = True

    def put(self, key: str, data: bytes) -> None:
        self._require()
        self.objects[key] = data

    def put_file(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def get(self, key: str) -> bytes | None:
        self._require()
        return self.objects.get(key)

    def _require(self) -> None:
        if not self.available:
            raise Unavailable("The object store is unavailable.")
