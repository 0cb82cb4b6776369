"""Model packages as an attacker, an accident or an overflow would leave them: each a whole package around its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quicksilver.package import GOLDEN, MANIFEST, MODEL, MODEL_CARD, Package, open_package, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightgbm import Booster

HUGE = 1.5e308
"""The sum of two of them is no number any more."""


def variant(package: Package, number: int) -> Package:
    """The same model in a package of other bytes, which no environment knows yet."""
    return _resealed(package, {MODEL_CARD: b"Variant %d.\n" % number})


def with_model(package: Package, text: bytes) -> Package:
    """The package around another model text, with no golden row that could tell."""
    return _resealed(package, {MODEL: text, GOLDEN: b""})


def _resealed(package: Package, changes: dict[str, bytes]) -> Package:
    files = {**package.files, **changes}
    files.pop(MANIFEST)
    sealed = seal(package.contract.endpoint, package.contract.fingerprint, files)
    return open_package(sealed.__getitem__)


@dataclass(frozen=True)
class Believed:
    """An evaluator of a text that nobody looked at, for a registry that lets everything in."""

    feature_names: tuple[str, ...]
    is_regression: bool = False

    def raw_score(self, vector: Sequence[float]) -> float:
        raise NotImplementedError

    def evaluate(self, vector: Sequence[float]) -> Any:
        raise NotImplementedError

    def score(self, raw_score: float) -> float:
        raise NotImplementedError


def overflowing(booster: Booster, vector: Sequence[float]) -> bytes:
    """A model whose raw score of one vector, and of those that share its leaves, is beyond a float."""
    import lightgbm

    model = lightgbm.Booster(model_str=booster.model_to_string())
    leaves = model.predict([list(vector)], pred_leaf=True)[0]
    for tree in (0, 1):
        model.set_leaf_output(tree, int(leaves[tree]), HUGE)
    return str(model.model_to_string()).encode()


def repeated(text: bytes, least_bytes: int) -> bytes:
    """The same trees again and again, numbered on, until the text has that many bytes: a valid model."""
    head, _, rest = text.partition(b"\n\nTree=0\n")
    trees, _, tail = (b"Tree=0\n" + rest).partition(b"end of trees")
    bodies = [tree.partition(b"\n")[2] for tree in trees.split(b"Tree=")[1:]]
    count = least_bytes // (len(trees) // len(bodies)) + 1
    copies = [b"Tree=%d\n%s" % (number, bodies[number % len(bodies)]) for number in range(count)]
    sizes = b"tree_sizes=" + b" ".join(b"%d" % len(copy) for copy in copies)
    lines = [sizes if line.startswith(b"tree_sizes=") else line for line in head.split(b"\n")]
    return b"\n".join(lines) + b"\n\n" + b"".join(copies) + b"end of trees" + tail


def claiming(text: bytes, claim: bytes) -> bytes:
    """The text with a line of its head, or of its first tree, replaced by another of the same name.

    The tree's size is told as it is, so that nothing but the claim is wrong.
    """
    name = claim.partition(b"=")[0] + b"="
    start = text.index(b"\n" + name) + 1
    end = text.index(b"\n", start)
    altered = text[:start] + claim + text[end:]
    if start < text.index(b"\nTree=0\n"):
        return altered
    at = altered.index(b"tree_sizes=") + len(b"tree_sizes=")
    first = altered[at : altered.index(b" ", at)]
    size = int(first) + len(claim) - (end - start)
    return altered[:at] + b"%d" % size + altered[at + len(first) :]
