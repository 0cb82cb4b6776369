"""A deployed stage as it was found: its stacks' resources, what their templates ask for, and how each of them is.

Values only. ``aws/stage_reader.py`` reads them and ``doctor/`` judges them. ``None`` in the place of a fact is what the
platform does not tell: an emulator of AWS leaves some out, and nobody may take that for good news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

STACKS = ("data", "scoring", "control", "monitoring")
ANSWERING = ("data", "scoring")
"""What a standby has of them while it decides nothing."""

ONLY_ANSWERS = "OnlyAnswers"
"""The output of a data stack that says so."""


def stacks_of(data_outputs: Mapping[str, str]) -> tuple[str, ...]:
    """The short names of a stage's stacks beside the operations', by the outputs of its data stack."""
    return ANSWERING if ONLY_ANSWERS in data_outputs else STACKS


class Resource(NamedTuple):
    """A resource of a stack: its logical id, its name on AWS, and the properties its template asks for."""

    stack: str
    logical_id: str
    kind: str
    name: str
    asked: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name in the stack's code: the logical id without the hash that CDK adds."""
        return self.logical_id[:-8]


@dataclass(frozen=True, slots=True)
class StackState:
    """``status`` is CloudFormation's, or empty where there is no such stack."""

    name: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FunctionState:
    """A function as it was last deployed, ``$LATEST``, with the environment it is given."""

    state: str
    last_update: str
    modified: str
    environment: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProvisionedConcurrency:
    """What is provisioned on one qualifier of a function: a function version, or an alias, where it must not be."""

    qualifier: str
    status: str
    requested: int
    available: int


@dataclass(frozen=True, slots=True)
class AliasState:
    """An alias: where it points, the weights beside that, the state of that function version ("" where there is none),
    and what is provisioned on its function. ``releasing`` says that a deployment is in progress that may set weights."""

    function_version: str
    weights: Mapping[str, float]
    version_state: str
    provisioned: Sequence[ProvisionedConcurrency]
    releasing: bool = False


@dataclass(frozen=True, slots=True)
class TableState:
    """``expires_by`` is the attribute by which items expire, "" where none do; ``policed`` says that it has a resource policy."""

    status: str
    restorable: bool | None
    earliest_restore: str
    protected: bool
    expires_by: str | None
    policed: bool | None = None
    replicas: Mapping[str, str] = field(default_factory=dict)
    """The status of each replica, by region."""


@dataclass(frozen=True, slots=True)
class StreamState:
    status: str
    encrypted: bool | None
    retention_hours: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """An event source mapping of the stream. ``iterator_age_ms`` is the largest of the last 15 minutes."""

    function: str
    state: str
    last_result: str
    iterator_age_ms: int | None


@dataclass(frozen=True, slots=True)
class BucketState:
    """``encryption`` is the algorithm, ``lock`` the default retention as S3 says it ("" where nothing is locked)."""

    versioned: bool
    private: bool
    encryption: str | None
    lock: str


@dataclass(frozen=True, slots=True)
class KeyState:
    state: str
    rotates: bool


@dataclass(frozen=True, slots=True)
class AlarmState:
    name: str
    state: str
    since: str
    description: str


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object of a bucket and when it was last written (UTC epoch ms)."""

    key: str
    modified_ms: int


class StageReader(Protocol):
    """Reads how the resources of one stage are; it changes nothing.

    Every call raises ``NotFound`` for what is not there any more, and ``Unavailable`` where AWS does not answer or does
    not let us read it.
    """

    def stacks(self) -> Sequence[StackState]: ...

    def resources(self) -> Sequence[Resource]:
        """What the stage's stacks have made."""
        ...

    def function(self, name: str) -> FunctionState: ...

    def alias(self, function: str, name: str) -> AliasState: ...

    def table(self, name: str) -> TableState: ...

    def stream(self, name: str) -> StreamState: ...

    def consumer(self, id: str) -> ConsumerState: ...

    def delivery(self, name: str) -> str:
        """The status of a delivery stream."""
        ...

    def bucket(self, name: str) -> BucketState: ...

    def key(self, id: str) -> KeyState: ...

    def messages(self, queue: str) -> int:
        """How many messages wait in a queue, by its URL."""
        ...

    def rule(self, name: str) -> str:
        """The state of a rule of the default bus."""
        ...

    def machine(self, arn: str) -> str:
        """The status of a state machine."""
        ...

    def alarms(self) -> Sequence[AlarmState] | None:
        """The stage's alarms; None where the platform has none that could ring."""
        ...

    def objects(
        self, bucket: str, prefix: str, *, after: str = "", most: int = 10_000
    ) -> Sequence[KeptObject]:
        """Objects under a prefix, by name, behind ``after``."""
        ...

    def folders(self, bucket: str, prefix: str) -> Sequence[str]:
        """The folders right under a prefix, each with a slash at its end."""
        ...

    def skew_ms(self) -> int:
        """How far our clock is ahead of AWS's, to the second."""
        ...


class ApiAnswered(NamedTuple):
    status: int
    content: Any


class ScoringApi(Protocol):
    """The scoring API of the stage, asked in every way that the doctor needs."""

    def unsigned(self, path: str) -> int:
        """The status of an empty request that nobody signed."""
        ...

    def without_key(self, path: str) -> int: ...

    def post(self, path: str, body: Mapping[str, Any]) -> ApiAnswered: ...
