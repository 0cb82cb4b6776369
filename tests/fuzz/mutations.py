"""Model texts that nobody would write: each number is the seed of one, the same for ever.

Most keep the shape that a reader looks for first, so that the damage gets past it: edits that keep a text's length,
and ``tree_sizes`` made right again after the others.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

EXTREMES = (
    b"0", b"-1", b"1", b"2", b"31", b"32", b"-32769", b"65535", b"65536", b"2147483647", b"-2147483648", b"2147483648",
    b"4294967295", b"99999999999", b"18446744073709551616", b"1e308", b"-1e308", b"1e-320", b"1e999", b"-0", b"+1", b"0x10",
    b"nan", b"-nan", b"inf", b"-inf", b"1.", b".5", b"1e", b"e", b"-", b"01", b"", b" ", b"1 1", b"1,5",
)  # fmt: skip
WORDS = (
    b"Tree=0\n", b"Tree=1\n", b"Tree=", b"\n", b"\n\n", b"=", b" ", b"end of trees\n", b"num_leaves=1\n", b"num_cat=1\n",
    b"is_linear=1\n", b"average_output\n", b"num_class=1\n", b"=num_class=2\n", b"objective=binary sigmoid:1\n",
    b"parameters:\n", b"end of parameters\n", b"[linear_tree: 1]\n", b"sigmoid:", b"tree_sizes=1\n", b"leaf_value=\n",
    b"shrinkage=1\n", b"\r", b"\t", b"\0", b"\xff", b"monotone_constraints=1\n", b"pandas_categorical:null\n", b":", b"[0:1]",
)  # fmt: skip
_NUMBER = re.compile(rb"-?[0-9][0-9.e+-]*")
_TREE = re.compile(rb"^Tree=", re.MULTILINE)

Edit = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(seed: int, texts: Sequence[bytes]) -> bytes:
    """One of the texts after one to four edits, which follow from the seed alone."""
    chance = random.Random(seed)
    text = chance.choice(texts)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        text = chance.choices(_EDITS, _WEIGHTS)[0](chance, text, texts)
    return with_right_sizes(text) if chance.random() < 0.7 else text


def with_right_sizes(text: bytes) -> bytes:
    """The text with ``tree_sizes`` as they are, if it still has trees and the line."""
    starts = [match.start() for match in _TREE.finditer(text)]
    end = text.find(b"end of trees")
    line = re.search(rb"^tree_sizes=.*$", text, re.MULTILINE)
    starts = [start for start in starts if start < end]
    if not starts or line is None or line.start() > starts[0]:
        return text
    sizes = (after - start for start, after in zip(starts, [*starts[1:], end], strict=True))
    return (
        text[: line.start()] + b"tree_sizes=" + b" ".join(b"%d" % size for size in sizes) + text[line.end() :]
    )


def _number(chance: random.Random, text: bytes) -> re.Match[bytes] | None:
    return _NUMBER.search(text, chance.randrange(len(text) + 1)) or _NUMBER.search(text)


def _flip_a_bit(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    if not text:
        return text
    at = chance.randrange(len(text))
    return text[:at] + bytes([text[at] ^ 1 << chance.randrange(8)]) + text[at + 1 :]


def _change_a_digit(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    number = _number(chance, text)
    if number is None:
        return text
    at = chance.randrange(number.start(), number.end())
    return text[:at] + chance.choice((b"0", b"1", b"2", b"3", b"7", b"9", b"-")) + text[at + 1 :]


def _swap_a_number(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    number = _number(chance, text)
    return text[: number.start()] + chance.choice(EXTREMES) + text[number.end() :] if number else text


def _exchange_two_numbers(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    one, other = _number(chance, text), _number(chance, text)
    if one is None or other is None or one.start() == other.start():
        return text
    one, other = sorted((one, other), key=re.Match.start)
    return text[: one.start()] + other[0] + text[one.end() : other.start()] + one[0] + text[other.end() :]


def _change_a_value(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    """A number of one line becomes another of the same line: right in form, wrong in meaning."""
    lines = text.split(b"\n")
    at = chance.randrange(len(lines))
    key, _equals, values = lines[at].partition(b"=")
    numbers = values.split(b" ")
    if len(numbers) < 2:
        return text
    numbers[chance.randrange(len(numbers))] = chance.choice(numbers)
    lines[at] = key + b"=" + b" ".join(numbers)
    return b"\n".join(lines)


def _insert_a_word(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(text) + 1)
    if chance.random() < 0.5:
        at = text.rfind(b"\n", 0, at) + 1
    return text[:at] + chance.choice(WORDS) + text[at:]


def _delete_some_bytes(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + text[at + chance.choice((1, 1, 2, 5, 20, 200)) :]


def _delete_a_line(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    del lines[chance.randrange(len(lines))]
    return b"\n".join(lines)


def _copy_a_line(chance: random.Random, text: bytes, texts: Sequence[bytes]) -> bytes:
    """A line of this text or of another one, put somewhere or in the place of the line with its key."""
    lines, from_lines = text.split(b"\n"), chance.choice((text, chance.choice(texts))).split(b"\n")
    line = chance.choice(from_lines)
    same_key = [at for at, there in enumerate(lines) if there.partition(b"=")[0] == line.partition(b"=")[0]]
    if same_key and chance.random() < 0.7:
        lines[chance.choice(same_key)] = line
    else:
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _swap_two_lines(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    lines = text.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _cut_off(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _splice(chance: random.Random, text: bytes, texts: Sequence[bytes]) -> bytes:
    """The first trees of one model and the last ones of another."""
    other = chance.choice(texts)
    ends, starts = ([m.start() for m in _TREE.finditer(whole)] for whole in (text, other))
    return text[: chance.choice(ends)] + other[chance.choice(starts) :] if ends and starts else text


def _renumber(chance: random.Random, text: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat or drop a tree, and number all of them anew."""
    parts = re.split(rb"^Tree=\d+\n", text, flags=re.MULTILINE)
    if len(parts) < 3:
        return text
    last, end, rest = parts[-1].partition(b"end of trees")
    trees = [*parts[1:-1], last]
    at = chance.randrange(len(trees))
    trees = trees[:at] + trees[at + 1 :] if chance.random() < 0.5 else [*trees[:at], trees[at], *trees[at:]]
    numbered = b"".join(b"Tree=%d\n%s" % (number, tree) for number, tree in enumerate(trees))
    return parts[0] + numbered + end + rest


_WEIGHTED: tuple[tuple[Edit, int], ...] = (
    (_flip_a_bit, 2),
    (_change_a_digit, 4),
    (_swap_a_number, 4),
    (_exchange_two_numbers, 1),
    (_change_a_value, 4),
    (_insert_a_word, 2),
    (_delete_some_bytes, 1),
    (_delete_a_line, 1),
    (_copy_a_line, 3),
    (_swap_two_lines, 1),
    (_cut_off, 1),
    (_splice, 1),
    (_renumber, 2),
)
_EDITS = [edit for edit, _ in _WEIGHTED]
_WEIGHTS = [weight for _, weight in _WEIGHTED]
