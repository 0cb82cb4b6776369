"""Whether two answers are the same, bit for bit; and if not, where they part, in one sentence.

A sentence names the model version, the row or the event, and the number with both of its values in hexadecimal. It never
shows a vector, which is what is known of an entity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from quicksilver.code_release.check import GoldenAnswer, GoldenNumbers, RehearsalAnswer, bits, number
from quicksilver.errors import ReleaseRefused
from quicksilver.package import MAX_CONTRIBUTION_DIFFERENCE, GoldenRow

EXPECTED = "the expected value"


def judge_golden(
    model: str, names: Sequence[str], rows: Sequence[tuple[int, GoldenRow]], answer: GoldenAnswer
) -> list[GoldenNumbers]:
    """Hold an answer to golden rows, given with their numbers: raw scores in every bit, contributions within 1e-9.

    Golden contributions are LightGBM's own, and what answers is the kernel (ADR 0020). Returns the answer's rows, and
    raises ``ReleaseRefused`` for the first that is not as it must be.
    """
    if answer.error:
        raise ReleaseRefused(answer.error)
    if len(answer.rows) != len(rows):
        raise ReleaseRefused(f"{model}: {len(answer.rows)} golden rows are answered of {len(rows)}.")
    given = []
    for (place, golden), row in zip(rows, answer.rows, strict=True):
        where = f"{model}, golden row {place}"
        if isinstance(row, str):
            raise ReleaseRefused(f"{where}: it {row.removesuffix('.')}.")
        if row.raw_score != bits(golden.raw_score):
            raise ReleaseRefused(
                f"{where}: the raw score is {row.raw_score} and must be {bits(golden.raw_score)}."
            )
        for name, ours, theirs in _parts(where, names, row.contributions, golden.contributions):
            if not abs(number(ours) - theirs) <= MAX_CONTRIBUTION_DIFFERENCE:
                raise ReleaseRefused(
                    f"{where}: {name} is {ours}, further than {MAX_CONTRIBUTION_DIFFERENCE} from {bits(theirs)}."
                )
        given.append(row)
    return given


def _parts(
    where: str, names: Sequence[str], ours: Sequence[str], theirs: Sequence[float]
) -> Iterator[tuple[str, str, float]]:
    if not len(ours) == len(theirs) == len(names) + 1:
        raise ReleaseRefused(f"{where}: {len(ours)} contributions are answered, not {len(names) + 1}.")
    return zip((*(f"the contribution of {name}" for name in names), EXPECTED), ours, theirs, strict=True)


def judge_alike(
    model: str,
    names: Sequence[str],
    places: Sequence[int],
    new: Sequence[GoldenNumbers],
    live: GoldenAnswer,
    *,
    live_version: str,
) -> int:
    """Hold a new function version's rows to the live one's: every number in every bit. Raises ``ReleaseRefused``.

    Returns how many rows could be compared: where the live one gives none, a golden row is all there is to hold to.
    """
    parts = (*(f"the contribution of {name}" for name in names), EXPECTED)
    compared = 0
    for place, ours, theirs in zip(places, new, live.rows, strict=False):
        if isinstance(theirs, str):
            continue
        compared += 1
        for name, a, b in (
            ("the raw score", ours.raw_score, theirs.raw_score),
            ("the score", ours.score, theirs.score),
            ("its explainer", ours.explained_by.value, theirs.explained_by.value),
            *zip_longest(parts, ours.contributions, theirs.contributions),
        ):
            if a != b:
                raise ReleaseRefused(
                    f"{model}, golden row {place}: {name} is {a}, where function version {live_version} gives {b}."
                )
    return compared


def difference(new: RehearsalAnswer, live: RehearsalAnswer) -> str | None:
    """Where two answers to one event part first, or ``None``: words, then what was read, then numbers."""
    if name := _first(new.said, live.said):
        if name in ("detail", "fields", "reasons"):  # their words may be long, and are no numbers
            return f"its {name} is another"
        return f"its {name} is {new.said.get(name)!r}, not {live.said.get(name)!r}"
    if name := _first(new.vector, live.vector):
        return f"the vector's {name} is another"
    if name := _first(new.numbers, live.numbers):
        return f"its {name} is {new.numbers.get(name)}, not {live.numbers.get(name)}"
    return None


def _first(a: Mapping[str, str], b: Mapping[str, str]) -> str | None:
    return next((name for name in dict.fromkeys((*a, *b)) if a.get(name) != b.get(name)), None)
