"""Model texts of trees that no training would grow, and their Shapley values by the definition.

The trees are read from LightGBM's own ``dump_model``, so that neither the kernel's reader nor its algorithm has a part
in what it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import lightgbm
import numpy as np

KINDS = ("None", "Zero", "NaN")
_NONZERO = float(np.float32(1e-35))  # kZeroThreshold


@dataclass(frozen=True, repr=False)
class Leaf:
    value: float
    count: int = 1


@dataclass(frozen=True, repr=False)
class Split:
    """``at`` is a threshold, or the codes of the categories that go left."""

    feature: int
    at: float | frozenset[int]
    left: Split | Leaf
    right: Split | Leaf
    missing: str = "None"
    default_left: bool = False
    count: int = field(init=False)

    def __post_init__(self) -> None:
        # Now, and not by recursion when asked: trees may be deep.
        object.__setattr__(self, "count", self.left.count + self.right.count)


def model_text(trees: Sequence[Split | Leaf], features: int, *, outputs: int = 1) -> bytes:
    """The text of a model; tree ``i`` adds to output ``i % outputs``."""
    blocks = [f"Tree={i}\n{_tree(tree)}\n\n\n".encode() for i, tree in enumerate(trees)]
    head = [
        "tree", "version=v4", f"num_class={outputs}", f"num_tree_per_iteration={outputs}", "label_index=0",
        f"max_feature_idx={features - 1}", "objective=regression" if outputs == 1 else f"objective=multiclass num_class:{outputs}",
        "feature_names=" + " ".join(f"f{i}" for i in range(features)),
        "feature_infos=" + " ".join(["[-1:1]"] * features),
        "tree_sizes=" + " ".join(str(len(block)) for block in blocks), "", "",
    ]  # fmt: skip
    end = b"end of trees\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n\npandas_categorical:null\n"
    return "\n".join(head).encode() + b"".join(blocks) + end


def _tree(tree: Split | Leaf) -> str:
    splits: list[Split] = []
    leaves: list[Leaf] = []
    left: dict[int, int] = {}
    right: dict[int, int] = {}
    waiting: list[tuple[Split | Leaf, dict[int, int] | None, int]] = [(tree, None, 0)]
    while waiting:
        node, side, parent = waiting.pop()
        number = len(splits) if isinstance(node, Split) else ~len(leaves)
        if side is not None:
            side[parent] = number
        if isinstance(node, Leaf):
            leaves.append(node)
            continue
        splits.append(node)
        waiting += [(node.right, right, number), (node.left, left, number)]
    sets = [split.at for split in splits if isinstance(split.at, frozenset)]
    bitsets = [_bitset(codes) for codes in sets]
    numbers = iter(range(len(sets)))
    lines: dict[str, Sequence[object]] = {
        "num_leaves": [len(leaves)],
        "num_cat": [len(sets)],
        "split_feature": [split.feature for split in splits],
        "split_gain": [1] * len(splits),
        "threshold": [next(numbers) if isinstance(s.at, frozenset) else repr(s.at) for s in splits],
        "decision_type": [_decision(split) for split in splits],
        "left_child": [left[i] for i in range(len(splits))],
        "right_child": [right[i] for i in range(len(splits))],
        "leaf_value": [repr(leaf.value) for leaf in leaves],
        "leaf_weight": [leaf.count for leaf in leaves],
        "leaf_count": [leaf.count for leaf in leaves],
        "internal_value": [0] * len(splits),
        "internal_weight": [split.count for split in splits],
        "internal_count": [split.count for split in splits],
    }
    if sets:
        lines["cat_boundaries"] = [0, *np.cumsum([len(bits) for bits in bitsets])]
        lines["cat_threshold"] = [word for bits in bitsets for word in bits]
    lines["is_linear"], lines["shrinkage"] = [0], [1]
    return "\n".join(f"{key}={' '.join(map(str, values))}" for key, values in lines.items())


def _bitset(codes: frozenset[int]) -> list[int]:
    words = [0] * (max(codes) // 32 + 1)
    for code in codes:
        words[code // 32] |= 1 << code % 32
    return words


def _decision(split: Split) -> int:
    return isinstance(split.at, frozenset) + 2 * split.default_left + 4 * KINDS.index(split.missing)


class Definition:
    """Path-dependent Shapley values of a model, term by term as they are defined (Lundberg et al., 2020)."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        dump: Any = booster.dump_model()
        self.features: int = dump["max_feature_idx"] + 1
        self.trees: list[Any] = [info["tree_structure"] for info in dump["tree_info"]]
        self.outputs: int = dump["num_tree_per_iteration"]

    def by_subsets(self, row: Sequence[float]) -> list[float]:
        """Over all coalitions: of few features only."""
        found: list[float] = []
        for output in range(self.outputs):
            trees = self.trees[output :: self.outputs]
            worth = {
                coalition: math.fsum(_expected(tree, row, frozenset(coalition)) for tree in trees)
                for size in range(self.features + 1)
                for coalition in combinations(range(self.features), size)
            }
            found += [
                math.fsum(
                    (worth[tuple(sorted((*coalition, feature)))] - alone)
                    / (self.features * math.comb(self.features - 1, len(coalition)))
                    for coalition, alone in worth.items()
                    if feature not in coalition
                )
                for feature in range(self.features)
            ]
            found.append(worth[()])
        return found

    def by_leaves(self, row: Sequence[float]) -> list[float]:
        """Over the leaves, in long doubles: for paths with too many features to list their coalitions.

        Among the n features on a leaf's path, the coalitions of s others are worth the coefficient of x^s in the product
        of (z + o x) over the others; no term is negative, so nothing cancels.
        """
        found = np.zeros((self.outputs, self.features + 1), np.longdouble)
        for number, tree in enumerate(self.trees):
            for value, share, path in _leaves(tree, row):
                found[number % self.outputs, -1] += np.longdouble(value) * share
                for feature, gain in _gains(path):
                    found[number % self.outputs, feature] += np.longdouble(value) * gain
        return [float(number) for number in found.ravel()]


def _gains(path: dict[int, tuple[np.longdouble, int]]) -> Iterator[tuple[int, np.longdouble]]:
    factors = [np.array([z, o], np.longdouble) for z, o in path.values()]
    n = len(factors)
    before, behind = [np.ones(1, np.longdouble)], [np.ones(1, np.longdouble)]
    for i in range(n - 1):
        before.append(np.convolve(before[-1], factors[i]))
        behind.append(np.convolve(behind[-1], factors[n - 1 - i]))
    weights = np.array([1 / (np.longdouble(n) * math.comb(n - 1, s)) for s in range(n)], np.longdouble)
    for i, (feature, (z, o)) in enumerate(path.items()):
        yield feature, (o - z) * (np.convolve(before[i], behind[n - 1 - i]) * weights).sum()


def _leaves(
    node: Any, row: Sequence[float]
) -> Iterator[tuple[float, np.longdouble, dict[int, tuple[np.longdouble, int]]]]:
    waiting = [(node, np.longdouble(1), dict[int, tuple[np.longdouble, int]]())]
    while waiting:
        node, reached, path = waiting.pop()
        if "split_feature" not in node:
            yield node["leaf_value"], reached, path
            continue
        feature = node["split_feature"]
        z, o = path.get(feature, (np.longdouble(1), 1))
        for side in ("left_child", "right_child"):
            share = np.longdouble(_count(node[side])) / _count(node)
            follows = o if (side == "left_child") == _goes_left(node, row) else 0
            waiting.append((node[side], reached * share, {**path, feature: (z * share, follows)}))


def _expected(node: Any, row: Sequence[float], known: frozenset[int]) -> float:
    if "split_feature" not in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return _expected(left if _goes_left(node, row) else right, row, known)
    worth = _count(left) * _expected(left, row, known) + _count(right) * _expected(right, row, known)
    return worth / _count(node)


def _count(node: Any) -> int:
    return int(node["internal_count"] if "split_feature" in node else node["leaf_count"])


def _goes_left(node: Any, row: Sequence[float]) -> bool:
    value = float(row[node["split_feature"]])
    if node["decision_type"] == "==":
        codes = [int(code) for code in str(node["threshold"]).split("||")]
        return not math.isnan(value) and -1 < value < 2**31 and int(value) in codes
    if abs(value) <= _NONZERO:
        value = 0.0
    if math.isnan(value) and node["missing_type"] != "NaN":
        value = 0.0
    if math.isnan(value) or (value == 0 and node["missing_type"] == "Zero"):
        return bool(node["default_left"])
    return value <= node["threshold"]
