"""What the capabilities need from the outside world, as Protocols.

``aws/`` implements them on AWS, ``memory.py`` in memory; one contract suite runs on both, so the
fakes cannot drift from the real thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from quicksilver.history import Entry, Head
from quicksilver.metrics import Metric
from quicksilver.model_version import ModelVersion
from quicksilver.rollup_counts import Lane, LaneKey, Period
from quicksilver.routing import Route

if TYPE_CHECKING:  # the score function knows these ports, and judges no rollout
    from quicksilver.rollout.look import Look


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


class ArmMetrics(Metrics, Protocol):
    """Where counts of arms go too."""

    def count_arm(self, endpoint: str, arm: str, counts: Mapping[Metric, int]) -> None: ...


class Scores(Protocol):
    """Where the scores that a function version gives are added up."""

    def add(self, score: float) -> None: ...


class InvocationEvents(Protocol):
    """How the platform tells an extension of invocations: each is asked for, then received."""

    def ask(self) -> None:
        """Ask for the next event. Until then the environment counts as busy. Raises ``Unavailable``."""
        ...

    def receive(self) -> None:
        """Receive the event asked for, of an invocation that has begun already. Raises ``Unavailable``."""
        ...


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

    def sooner(self, seconds: float) -> Deadline:
        """The moment so many seconds before this one."""
        return Deadline(self.clock, self.at_us - int(seconds * 1_000_000))


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
        """Read the named features of any number of keys; one that is given twice is read once.

        Returns in time whatever happens: keys the store could not answer for before the deadline,
        or at all, are ``late``, and they alone. A throttled key is late, never absent.
        """
        ...

    def write(self, rows: Iterable[FeatureRow]) -> int:
        """Write rows, each whole; returns how many. A row replaces the one under its key."""
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt's hold on an idempotency key until a moment (UTC epoch ms); with ``answer``, it is answered."""

    key: str
    attempt: str
    payload_sha256: str
    until_ms: int = 0
    answer: str | None = None


class IdempotencyStore(Protocol):
    """Who holds which idempotency key. ``deadline`` is how long a call is waited for."""

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        """Take a key for the hold's attempt, or with its answer, and return who holds the key then.

        A key can be taken that nobody holds, whose hold has ended, or that the same attempt holds without an
        answer yet; else it stays as it is. One of any number of attempts at once gets it. May be called again
        with the same hold. Raises ``Unavailable``: the key may or may not have been taken.
        """
        ...

    def release(self, hold: Hold, *, deadline: Deadline) -> None:
        """Let go of a key that the hold's attempt has and did not answer; else do nothing. Raises ``Unavailable``."""
        ...


class ArtifactStore(Protocol):
    """Model packages by content: ``package_sha256`` names the bytes, so nothing is ever overwritten."""

    def put(self, package_sha256: str, files: Mapping[str, bytes]) -> None:
        """Store a package. The manifest is written last, so a package is whole or absent."""
        ...

    def get(self, package_sha256: str, name: str) -> bytes:
        """One file's bytes as they are stored now. Raises ``NotFound``."""
        ...


class EvidenceStore(Protocol):
    """Gate reports by content, written once."""

    def put_evidence(self, sha256: str, report: bytes) -> None: ...

    def get_evidence(self, sha256: str) -> bytes:
        """A report's bytes as they are stored now. Raises ``NotFound``."""
        ...


class Signer(Protocol):
    """Signs and checks digests: ECDSA on P-256 over SHA-256."""

    def sign(self, digest: bytes) -> bytes:
        """The signature (DER) of a 32-byte digest. Raises ``Unavailable``."""
        ...

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether the signature is ours and of this digest. Raises ``Unavailable``."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an endpoint's registry: the history entry and everything that it changes.

    ``expected`` is the head the writer has seen and ``head`` the one it leaves.
    """

    expected: Head
    head: Head
    entry: Entry
    model_version: ModelVersion | None = None
    route: Route | None = None


class RegistryStore(Protocol):
    """Model versions, routes and their history, an endpoint at a time. Pages hold at most ``limit`` items."""

    def head(self, endpoint: str) -> Head:
        """Where the endpoint's registry stands; a fresh head for an endpoint that has none."""
        ...

    def commit(self, change: Change) -> None:
        """Make a change whole, or not at all. Raises ``Conflict`` where the head is not the expected one."""
        ...

    def model_version(self, endpoint: str, number: int) -> ModelVersion | None: ...

    def model_version_of_package(self, endpoint: str, package_sha256: str) -> ModelVersion | None: ...

    def model_versions(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[ModelVersion]:
        """Model versions with a number above ``after``, by rising number."""
        ...

    def current_route(self, endpoint: str, *, seconds: float | None = None) -> Route | None:
        """The route that is current now, read within ``seconds`` if they are given. Raises ``Unavailable``."""
        ...

    def route(self, endpoint: str, number: int) -> Route | None: ...

    def route_at(self, endpoint: str, time: str) -> Route | None:
        """The route that was current at a moment (UTC ISO-8601 with ms), in one query."""
        ...

    def routes(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Route]:
        """Routes with a number above ``after``, by rising number."""
        ...

    def history(self, endpoint: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        """History entries with a number above ``after``, by rising number."""
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
        """Keep entries durably, all or none, in the place of no other batch. Raises ``Unavailable``."""
        ...

    def batches(self) -> Iterable[str]:
        """The names of the batches kept, oldest first."""
        ...

    def read(self, batch: str) -> Sequence[LogEntry]:
        """A batch's entries; none where another run has discarded it. Raises ``InvalidInput`` for one that is not prediction
        records."""
        ...

    def replace(self, batch: str, entries: Sequence[LogEntry]) -> None:
        """Leave only these entries in a batch, at once or not at all. Raises ``Unavailable``."""
        ...

    def discard(self, batch: str) -> None: ...


class OutcomeStore(Protocol):
    """Where outcomes are kept until somebody reads the archive."""

    def keep(self, endpoint: str, lines: bytes) -> None:
        """Keep a batch (JSON Lines of ``Outcome``) durably, once however often it is given. Raises ``Unavailable``."""
        ...


class ContractStore(Protocol):
    """Contracts in the archive, by fingerprint."""

    def keep(self, fingerprint: str, lines: bytes) -> None:
        """Keep a contract (JSON Lines of ``ContractRow``), unless it is kept already. Raises ``Unavailable``."""
        ...


class RollupStore(Protocol):
    """What each arm did in each period, and the lanes that it is counted in. Every call may raise ``Unavailable``."""

    def periods(self, endpoint: str, *, since_ms: int, until_ms: int) -> Sequence[Period]:
        """The endpoint's periods that start in [since, until) and have a record, by time."""
        ...

    def lane(self, key: LaneKey) -> Lane:
        """A lane as the last write left it; at version 0 where there is none."""
        ...

    def paged(self, key: LaneKey) -> frozenset[bytes]:
        """The identities on all of a lane's pages."""
        ...

    def put_page(self, lane: Lane) -> None:
        """Keep what is recent in a lane as the page of its version. May be called again with the same lane."""
        ...

    def put_lane(self, lane: Lane) -> None:
        """Write a lane in the place of the version before its own. Raises ``Conflict`` where that is not what is stored.

        After ``Unavailable`` it may or may not have been written.
        """
        ...


class ShadowScoreStore(Protocol):
    """Shadows' scores in the archive."""

    def keep(self, batch: str, arrived_ms: int, lines: bytes) -> None:
        """Keep a batch's scores (JSON Lines) under its name and the hour it arrived in (UTC epoch ms).

        The same batch replaces what it left before. Raises ``Unavailable``: then nothing of it is kept.
        """
        ...


class Event(NamedTuple):
    """One event of a bus: what it is of, and its detail as JSON."""

    detail_type: str
    detail: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is told of one entry of the history: to machines, and to people under a subject of one line."""

    id: str
    endpoint: str
    events: Sequence[Event]
    subject: str
    text: str


class Announcer(Protocol):
    """Where announcements go."""

    def announce(self, announcement: Announcement) -> None:
        """Send its events and its message. Raises ``Unavailable`` where one of them was not taken."""
        ...


class AnnouncementCursor(Protocol):
    """How far each endpoint's history has been announced, by the number of the last entry."""

    def position(self, endpoint: str) -> int:
        """0 where nothing has been announced. Raises ``Unavailable``."""
        ...

    def move(self, endpoint: str, number: int) -> None:
        """Say that entries up to ``number`` are announced. It never goes back. Raises ``Unavailable``."""
        ...


class RolloutDecisions(Protocol):
    """The registry, as what decides on rollouts asks it."""

    def decide_rollout(self, endpoint: str, *, expected: int, look: Look) -> Route:
        """Do what a look at the route of that number came to; returns the route that is current then.

        Raises ``NotAllowed`` or ``NotFound`` where another route is current, and ``Unavailable``.
        """
        ...


class ExecutionStatus(StrEnum):
    """The status of an execution, as Step Functions has it."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"
    PENDING_REDRIVE = "PENDING_REDRIVE"


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of a machine: its output as JSON where it has succeeded, and why where it has failed."""

    status: ExecutionStatus
    output: str | None = None
    error: str | None = None
    cause: str | None = None


class Executions(Protocol):
    """What machines are doing and have done."""

    def describe(self, arn: str) -> Execution | None:
        """An execution by its ARN; None where it is not known any more. Raises ``Unavailable``."""
        ...
