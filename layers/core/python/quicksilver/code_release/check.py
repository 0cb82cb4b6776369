"""A check: what a function version is asked before it gets traffic, and what it answers.

Both ends speak these shapes, of this function version and of the one before it: what an end does not know it refuses, and
the other end says so. Floats travel as hexadecimal (``float.hex``), which keeps every bit of a number, and the sign of zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from quicksilver.evaluator import ExplainedBy
from quicksilver.routing import Arm

Bits: TypeAlias = Annotated[str, Field(pattern=r"^(-?(0x[01]\.[0-9a-f]+p[+-]\d+|inf)|nan)$")]
"""A float as ``bits`` writes it: two are the same text where they are the same number, bit for bit."""


def bits(value: float) -> str:
    """Every bit of a float, in text. There is one NaN: which one it is means nothing here."""
    return "nan" if math.isnan(value) else float(value).hex()


def number(text: str) -> float:
    """What ``bits`` has written."""
    return float.fromhex(text)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Presence(_Value):
    """Which route do you answer by? ``route`` is the registry's, 0 where it has none."""

    kind: Literal["presence"] = "presence"
    route: Annotated[int, Field(ge=0)]


class GoldenCheck(_Value):
    """What does this arm's model version give for these vectors (contract order, NaN is missing)?"""

    kind: Literal["golden"] = "golden"
    route: Annotated[int, Field(ge=1)]
    arm: Arm
    vectors: tuple[tuple[Bits, ...], ...]


class Rehearsal(_Value):
    """What does this arm answer to this event of API Gateway, whoever its entity would be assigned to?"""

    kind: Literal["rehearsal"] = "rehearsal"
    route: Annotated[int, Field(ge=1)]
    arm: Arm
    event: dict[str, Any]


Check: TypeAlias = Presence | GoldenCheck | Rehearsal
_CHECK: TypeAdapter[Check] = TypeAdapter(Annotated[Check, Field(discriminator="kind")])


def parse_check(content: Any) -> Check:
    """What an event asks for. Raises pydantic's ``ValidationError`` for what this function version does not know."""
    return _CHECK.validate_python(content)


class GoldenNumbers(_Value):
    """What an evaluator gives for one vector; ``contributions`` are in contract order, then the expected value."""

    raw_score: Bits
    score: Bits
    contributions: tuple[Bits, ...]
    explained_by: ExplainedBy


class GoldenAnswer(_Value):
    """A row for each vector, or why there is none. ``error`` says why the model version was not loaded."""

    rows: tuple[GoldenNumbers | str, ...] = ()
    error: str = ""


class RehearsalAnswer(_Value):
    """An answer, taken apart: ``said`` is what it says in words, ``numbers`` and ``vector`` its floats, by name.

    The vector holds what is known of an entity: it is compared, and never shown.
    """

    said: dict[str, str]
    numbers: dict[str, Bits] = {}
    vector: dict[str, Bits] = {}
    unsettled: bool = False
    """Whether a dependency was late: the same again may be answered otherwise."""


class Checked(_Value):
    """A function version's answer to a check.

    ``route`` is what it answers by, 0 for none, and ``notes`` say how that stands to the registry's. Where it is not the
    route that was asked about, or is noted, there is no answer.
    """

    function_version: str
    route: int
    notes: tuple[str, ...] = ()
    golden: GoldenAnswer | None = None
    rehearsal: RehearsalAnswer | None = None


def packed(vector: Sequence[float]) -> tuple[str, ...]:
    """A vector as it travels."""
    return tuple(map(bits, vector))
