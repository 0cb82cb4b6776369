"""The native kernel against LightGBM, against Shapley values by their definition, and against itself."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import shap
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from layers.native_kernel import CannotCompile
from quicksilver.errors import ModelNotLoadable
from quicksilver.evaluator import ExplainedBy, LightGBMEvaluator
from quicksilver.kernel import Kernel, Row
from tests.fuzz.mutations import with_right_sizes
from tests.fuzz.run import build_judge
from tests.model_texts import KINDS, Definition, Leaf, Split, model_text
from tests.real_mortgages import FILE, TRAINING_ROWS, features as mortgage_features, hand_over

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "kernel"
REAL_MODELS = FILE.parents[1] / "lleaves_models"

AS_LIGHTGBM = 1e-12
"""Relative to the row's largest contribution."""
SPECIAL = (
    math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-35, float(np.float32(1e-35)), -float(np.float32(1e-35)), 1.1e-35, 1e-40, -5e-324,
    1e300, -1e300, 1e18, 2.0**31, 2.0**31 - 1, -(2.0**31), 2.0**32 + 1, -0.5, 0.5, -1.0, 1.0, 2.5, 31.0, 32.0, 64.0, 1000.0,
)  # fmt: skip


def text_of(booster: lightgbm.Booster) -> bytes:
    return booster.model_to_string().encode()


def loaded(text: bytes) -> lightgbm.Booster:
    return lightgbm.Booster(model_str=text.decode())


def difference(given: Sequence[float], expected: Sequence[float] | NDArray[np.float64]) -> float:
    """The largest one, relative to the largest expected number."""
    scale = np.abs(expected).max()
    return float(np.abs(np.subtract(given, expected)).max() / scale) if scale else float(np.abs(given).max())


def largest_difference(text: bytes, rows: NDArray[np.float64]) -> float:
    """Between the kernel's contributions and LightGBM's, row by row and output by output."""
    kernel, booster = Kernel(text), loaded(text)
    expected = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1))
    worst = 0.0
    for row, by_lightgbm in zip(rows.tolist(), expected, strict=True):
        parts = np.reshape(kernel.contributions(row), (kernel.outputs, -1))
        pairs = zip(parts, by_lightgbm.reshape(parts.shape), strict=True)
        worst = max(worst, *(difference(part, by) for part, by in pairs))
    return worst


def bits(numbers: Sequence[float] | Row) -> bytes:
    return np.asarray(numbers, np.float64).tobytes()


# Trained models, of every family that LightGBM has


def table(
    rows: int = 1200, features: int = 12, seed: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers with gaps, zeros and values near zero; the last three features are categories with 4, 90 and 2,000 codes."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, features - 3))
    numbers[rng.random(numbers.shape) < 0.08] = np.nan
    numbers[rng.random(numbers.shape) < 0.08] = 0
    categories = np.column_stack([rng.integers(0, codes, rows) for codes in (4, 90, 2000)]).astype(float)
    categories[rng.random(categories.shape) < 0.05] = np.nan
    signal = (
        np.nan_to_num(numbers[:, :5]) @ [1, -1, 0.5, 0.5, 2] + np.isnan(numbers[:, 0]) + (numbers[:, 1] == 0)
    )
    signal += (np.nan_to_num(categories) % [2, 3, 5]).sum(axis=1) + rng.normal(size=rows)
    return np.column_stack([numbers, categories]), signal


def rows_like(rows: NDArray[np.float64], count: int = 40, seed: int = 9) -> NDArray[np.float64]:
    """Some of the rows as they are, and some with special values in a third of their places."""
    rng = np.random.default_rng(seed)
    chosen = rows[rng.integers(0, len(rows), count)].copy()
    places = rng.random(chosen.shape) < np.where(np.arange(count) % 2, 0.33, 0)[:, None]
    chosen[places] = rng.choice(SPECIAL, places.sum())
    return chosen


FAMILIES: dict[str, dict[str, Any]] = {
    "missing values": {},
    "no missing values": {"use_missing": False},
    "zero is missing": {"zero_as_missing": True},
    "a random forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "dart": {"boosting": "dart"},
    "goss": {"data_sample_strategy": "goss"},
    "monotone": {"monotone_constraints": [1, -1, *[0] * 10], "monotone_constraints_method": "advanced"},
    "255 leaves": {"num_leaves": 255, "min_data_in_leaf": 1, "rounds": 8},
    "1000 leaves": {"num_leaves": 1000, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "rounds": 2},
    "one question per category": {"max_cat_to_onehot": 5000},
    "two leaves": {"num_leaves": 2},
    "extremely random": {"extra_trees": True},
    "several classes": {"objective": "multiclass", "num_class": 3, "rounds": 10},
    "a probability": {"objective": "binary"},
    "quantized gradients": {"use_quantized_grad": True},
    "2000 trees": {"num_leaves": 4, "rounds": 2000, "learning_rate": 0.01},
}


def train(weight: NDArray[np.float64] | None = None, **params: Any) -> tuple[bytes, NDArray[np.float64]]:
    rows, signal = table()
    label = {"multiclass": np.digitize(signal, [4, 7]), "binary": signal > 5}.get(
        params.get("objective", ""), signal
    )
    rounds = params.pop("rounds", 25)
    usual = {
        "objective": "regression",
        "verbose": -1,
        "num_threads": 1,
        "min_data_per_group": 5,
        "cat_smooth": 2,
    }
    categorical = [] if "monotone_constraints" in params or "zero_as_missing" in params else [9, 10, 11]
    data = lightgbm.Dataset(rows, label, weight=weight, categorical_feature=categorical)
    return text_of(lightgbm.train({**usual, **params}, data, rounds)), rows_like(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_contributions_of_a_trained_model_are_lightgbms(family: str) -> None:
    text, rows = train(**FAMILIES[family])
    assert largest_difference(text, rows) <= AS_LIGHTGBM


def test_weights_change_no_count_and_no_agreement() -> None:
    text, rows = train(weight=np.random.default_rng(1).exponential(size=1200))
    assert largest_difference(text, rows) <= AS_LIGHTGBM


def test_a_model_trained_on_or_refit_to_other_rows_is_explained_too() -> None:
    rows, signal = table()
    params = {"objective": "regression", "verbose": -1, "num_threads": 1}
    first = lightgbm.train(params, lightgbm.Dataset(rows[:600], signal[:600], free_raw_data=False), 10)
    more = lightgbm.train(params, lightgbm.Dataset(rows[600:], signal[600:]), 10, init_model=first)
    for booster in (more, first.refit(rows[600:], signal[600:])):
        assert largest_difference(text_of(booster), rows_like(rows)) <= AS_LIGHTGBM


def test_one_feature_alone_gets_all() -> None:
    rows, signal = table()
    params = {"objective": "regression", "verbose": -1, "num_threads": 1}
    text = text_of(lightgbm.train(params, lightgbm.Dataset(rows[:, :1], signal), 20))
    assert largest_difference(text, rows_like(rows[:, :1])) <= AS_LIGHTGBM


def test_more_than_a_thousand_features_are_explained() -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(500, 1100))
    params = {"objective": "regression", "verbose": -1, "num_threads": 1, "feature_fraction": 0.1}
    text = text_of(lightgbm.train(params, lightgbm.Dataset(rows, rows[:, :300].sum(axis=1)), 30))
    assert largest_difference(text, rows_like(rows, 10)) <= AS_LIGHTGBM


def test_the_shap_package_agrees_where_it_computes_by_itself() -> None:
    """``shap.TreeExplainer`` asks LightGBM for a LightGBM model; of trees given as arrays it has its own."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(800, 6))
    params = {"objective": "regression", "verbose": -1, "num_threads": 1, "num_leaves": 15}
    booster = lightgbm.train(params, lightgbm.Dataset(rows, rows[:, 0] * rows[:, 1] + rows[:, 2]), 20)
    explainer = shap.TreeExplainer({"trees": [as_arrays(tree) for tree in Definition(booster).trees]})
    # Its arrays of rows are single precision at the questions, so the rows are too.
    chosen = rows[:100].astype(np.float32).astype(np.float64)
    kernel = Kernel(text_of(booster))
    for row, expected in zip(chosen.tolist(), explainer.shap_values(chosen), strict=True):
        assert difference(kernel.contributions(row)[:-1], expected) <= AS_LIGHTGBM


def as_arrays(tree: Any) -> dict[str, Any]:
    """A dumped tree as shap wants it: a list per property, children by their places."""
    lists: dict[str, list[Any]] = {
        key: []
        for key in (
            "children_left",
            "children_right",
            "features",
            "thresholds",
            "values",
            "node_sample_weight",
        )
    }

    def add(node: Any) -> int:
        place, split = len(lists["features"]), "split_feature" in node
        fields = (
            -1, -1, node["split_feature"] if split else -2, node["threshold"] if split else -2.0,
            [0.0 if split else node["leaf_value"]], float(node["internal_count" if split else "leaf_count"]),
        )  # fmt: skip
        for values, value in zip(lists.values(), fields, strict=True):
            values.append(value)
        if split:
            lists["children_left"][place] = add(node["left_child"])
            lists["children_right"][place] = add(node["right_child"])
        return place

    add(tree)
    arrays: dict[str, Any] = {key: np.array(values) for key, values in lists.items()}
    return {**arrays, "children_default": arrays["children_left"]}


# Trees that no training would grow


def grown(rng: np.random.Generator, features: int, depth: int) -> Split | Leaf:
    """A random tree that asks for anything in any way, the same feature again and again."""
    if depth == 0 or rng.random() < 0.15:
        return Leaf(float(rng.normal()), int(rng.integers(1, 50)))
    at: float | frozenset[int] = float(
        rng.choice([*rng.normal(size=3), 0.0, 1e-35, -1e-35, 1e-40, 1e300, 2.0])
    )
    missing = KINDS[rng.integers(3)]
    if rng.random() < 0.3:
        at = frozenset(rng.choice(100, rng.integers(1, 20)).tolist())
    return Split(
        int(rng.integers(features)), at, grown(rng, features, depth - 1), grown(rng, features, depth - 1),
        missing, bool(rng.random() < 0.5),
    )  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1), features=st.integers(1, 5), outputs=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_contributions_are_shapley_values_by_their_definition(seed: int, features: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    text = model_text([grown(rng, features, 4) for _ in range(2 * outputs)], features, outputs=outputs)
    kernel, definition = Kernel(text), Definition(loaded(text))
    row = rng.choice([*rng.normal(size=4), *SPECIAL], features).tolist()
    given = kernel.contributions(row)
    # Sums of numbers that may cancel: relative to the leaves, which are about 1.
    np.testing.assert_allclose(given, definition.by_subsets(row), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(given, definition.by_leaves(row), rtol=1e-13, atol=1e-13)


@given(
    seed=st.integers(0, 2**32 - 1),
    row=st.lists(st.floats() | st.sampled_from(SPECIAL), min_size=5, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_contributions_of_any_row_are_lightgbms_and_add_up_to_its_score(seed: int, row: list[float]) -> None:
    rng = np.random.default_rng(seed)
    text = model_text([grown(rng, 5, 6) for _ in range(3)], 5)
    evaluation = LightGBMEvaluator(text).evaluate(row)
    assert evaluation.explained_by is ExplainedBy.KERNEL
    given = [*evaluation.contributions, evaluation.expected_value]
    assert abs(math.fsum(given) - evaluation.raw_score) <= 1e-13 * max(1, *map(abs, given))
    np.testing.assert_allclose(
        given, LightGBMEvaluator(text).lightgbm_contributions(row), rtol=1e-12, atol=1e-13
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_feature_that_no_tree_asks_for_gets_exactly_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = model_text([grown(rng, 4, 5) for _ in range(3)], 6)
    row = rng.choice(SPECIAL, 6).tolist()
    assert Kernel(text).contributions(row)[4:6] == (0.0, 0.0)


@pytest.mark.parametrize("code", [0, 31, 32, 33, 1000, 50_000, 99_999])
def test_categories_are_found_in_long_bitsets_and_nothing_else_is(code: int) -> None:
    text = model_text([Split(0, frozenset({code, 5}), Leaf(1.0, 3), Leaf(-1.0, 7))], 1)
    values = [
        code,
        code + 0.75,
        code - 0.5,
        -code,
        code + 1,
        code + 2.0**32,
        2.0**31,
        -(2.0**31),
        math.nan,
        math.inf,
        -math.inf,
    ]
    assert largest_difference(text, np.array(values, np.float64)[:, None]) <= AS_LIGHTGBM
    assert Kernel(text).contributions([code])[0] > 0


@pytest.mark.parametrize("missing", KINDS)
@pytest.mark.parametrize(
    "threshold", [0.0, 1e-35, -1e-35, 1e-40, -1e-40, float(np.float32(1e-35)), 1.0, math.inf]
)
def test_zero_has_a_width_and_missing_values_a_side(missing: str, threshold: float) -> None:
    trees = [Split(0, threshold, Leaf(1.0, 3), Leaf(-2.0, 7), missing, left) for left in (False, True)]
    assert largest_difference(model_text(trees, 1), np.array(SPECIAL)[:, None]) <= AS_LIGHTGBM


def test_single_leaves_only_move_the_expected_value() -> None:
    text = model_text([Leaf(0.25), Leaf(0.5), Split(1, 0.0, Leaf(1.0), Leaf(-1.0)), Leaf(2.0)], 2)
    assert Kernel(text).contributions([7.0, -1.0]) == pytest.approx((0.0, 1.0, 2.75), rel=1e-15)
    assert Kernel(model_text([Leaf(0.25), Leaf(0.5)], 2)).contributions([1.0, 2.0]) == (0.0, 0.0, 0.75)
    assert largest_difference(model_text([Leaf(0.25), Leaf(0.5)], 2), np.ones((1, 2))) == 0


def chain(length: int, features: int, rng: np.random.Generator) -> Split | Leaf:
    """A deep and narrow tree: each question has a leaf on one side, with an eleventh of its rows."""
    tree: Split | Leaf = Leaf(float(rng.normal()), 800)
    for level in range(length):
        leaf = Leaf(float(rng.normal()), max(1, tree.count // 10))
        left, right = (leaf, tree) if rng.random() < 0.5 else (tree, leaf)
        tree = Split(level % features, float(rng.normal(scale=0.3)), left, right)
    return tree


@pytest.mark.parametrize("distinct", [1, 7, 8, 9, 16, 17, 24, 25, 32, 33, 64, 65, 127, 128])
def test_a_path_may_ask_for_many_features(distinct: int) -> None:
    """Each size of quadrature, at its ends. LightGBM's own recurrence is no measure here: it loses digits."""
    rng = np.random.default_rng(distinct)
    text = model_text([chain(min(distinct + 10, 130), distinct, rng)], distinct)
    kernel, definition = Kernel(text), Definition(loaded(text))
    followed = followed_row(definition.trees[0], distinct)
    for row in (
        followed,
        [*followed[: distinct // 2], *rng.normal(size=distinct - distinct // 2)],
        rng.normal(size=distinct),
    ):
        assert difference(kernel.contributions(row), definition.by_leaves(row)) <= AS_LIGHTGBM


def followed_row(tree: Any, features: int) -> list[float]:
    """A row that goes deep: each feature's value passes its topmost question towards the longer side."""
    row: dict[int, float] = {}
    while "split_feature" in tree:
        left = "split_feature" in tree["left_child"]
        row.setdefault(tree["split_feature"], tree["threshold"] + (-1 if left else 1))
        tree = tree["left_child" if left else "right_child"]
    return [row.get(feature, 0.0) for feature in range(features)]


def test_a_path_with_more_features_than_anyone_can_explain_is_refused() -> None:
    """LightGBM's own recurrence loses all its digits on such a path."""
    text = model_text([chain(129, 129, np.random.default_rng(1))], 129)
    with pytest.raises(ModelNotLoadable, match="more than 128 features"):
        LightGBMEvaluator(text)


def test_a_tree_too_deep_for_anyone_to_explain_is_refused() -> None:
    rng = np.random.default_rng(1)
    tree: Split | Leaf = Leaf(1.0)
    for level in range(4097):
        tree = Split(level % 3, float(rng.normal()), Leaf(0.5), tree)
        if level == 4095:
            assert len(Kernel(model_text([tree], 3)).contributions([0.0, 1.0, 2.0])) == 4
    with pytest.raises(ModelNotLoadable, match="deeper than 4096"):
        Kernel(model_text([tree], 3))


# The same bits, whoever computes and whenever


def hammered(kernel: Kernel, rows: NDArray[np.float64], threads: int) -> list[bytes]:
    """What each of several threads, starting at once, gets for all rows."""
    start, results = threading.Barrier(threads), [b""] * threads

    def work(number: int) -> None:
        row = (ctypes.c_double * kernel.features)()
        worker = kernel.worker(row)
        start.wait()
        for vector in rows.tolist():
            row[:] = vector
            results[number] += bits(worker())

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    return results


def test_two_kernels_and_many_threads_give_the_same_bits() -> None:
    text, rows = train(num_leaves=31)
    expected = b"".join(bits(Kernel(text).contributions(row)) for row in rows.tolist())
    assert set(hammered(Kernel(text), rows, 4)) == {expected}


def test_what_the_scratch_area_held_before_does_not_matter() -> None:
    text, rows = train(num_leaves=31)
    kernel = Kernel(text)
    row = (ctypes.c_double * kernel.features)()
    worker = kernel.worker(row)
    for vector in rows.tolist():
        row[:] = vector
        given = []
        for dirt in (0x00, 0xFF, 0x7F):
            ctypes.memset(worker._scratch, dirt, len(worker._scratch))
            given.append(bits(worker()))
        assert given == [bits(kernel.contributions(vector))] * 3


OTHER_BUILDS = [["-O0"], ["-O2"], ["-O3"]]
if platform.machine() in ("x86_64", "AMD64"):
    OTHER_BUILDS += [["-O3", "-mavx2", "-mfma"]]


def test_every_optimisation_and_instruction_set_gives_the_same_bits(tmp_path: Path) -> None:
    """The harness prints a fingerprint of the contributions of rows of every kind, for each text."""
    said = set()
    for number, flags in enumerate(OTHER_BUILDS):
        try:
            program = build_judge(tmp_path / f"judge-{number}", flags)
        except CannotCompile as reason:
            pytest.skip(f"this machine cannot build it: {str(reason).splitlines()[0]}")
        run = subprocess.run(
            [program, *sorted(GOLDEN.glob("*.txt"))], capture_output=True, text=True, check=True
        )
        said.add(run.stdout)
    assert len(said) == 1
    assert said.pop().count("status 0, contributions ") == len(list(GOLDEN.glob("*.txt")))


def test_a_decimal_comma_in_the_process_changes_no_threshold(tmp_path: Path) -> None:
    localedef = shutil.which("localedef")
    if localedef is None:
        pytest.skip("this machine cannot make a locale")
    made = tmp_path / "de_DE.utf8"
    subprocess.run([localedef, "-i", "de_DE", "-f", "UTF-8", made], capture_output=True, check=False)
    if not made.is_dir():
        pytest.skip("this machine has no German locale to make")
    # A process of its own: a locale is of all its threads.
    program = (
        "import locale, sys; from quicksilver.kernel import Kernel; text = open(sys.argv[1], 'rb').read();"
        "first = Kernel(text).contributions([0.3] * 4); locale.setlocale(locale.LC_ALL, 'de_DE.utf8');"
        "assert locale.localeconv()['decimal_point'] == ','; assert Kernel(text).contributions([0.3] * 4) == first"
    )
    command = [sys.executable, "-c", program, GOLDEN / "trained.txt"]
    subprocess.run(command, env={**os.environ, "LOCPATH": str(tmp_path)}, check=True)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt")))
def test_the_bits_are_those_that_were_written_down(name: str) -> None:
    """``tests/data/kernel`` holds the kernel's own of November 2026, and they are right by the definition."""
    text = (GOLDEN / f"{name}.txt").read_bytes()
    kernel, definition = Kernel(text), Definition(loaded(text))
    for row in json.loads((GOLDEN / f"{name}.json").read_text()):
        given = kernel.contributions(row["row"])
        assert [value.hex() for value in given] == row["contributions"]
        assert difference(given, definition.by_leaves(row["row"])) <= AS_LIGHTGBM


# What must not reach LightGBM, each found by a mutation that it crashed on or read otherwise


def bent(old: bytes, new: bytes) -> bytes:
    """A sound text with something else in it, and ``tree_sizes`` that hold."""
    text = (GOLDEN / "trained.txt").read_bytes()
    assert old in text
    return with_right_sizes(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        # An error inside a tree ends LightGBM's process.
        (b"split_gain=", b"split_gain=7n", "split_gain of tree 0 is not"),
        (b"shrinkage=1", b"shrinkage=e", "shrinkage of tree 0 is not"),
        # It reads on into the next tree, and takes that one's lines for this one's.
        (b"shrinkage=1\n\n\n", b"shrinkage=1\n", "tree 0 has no end"),
        # The last one counts, and equals signs in front do not.
        (b"num_class=1", b"num_class=1\nnum_class=2", "its head has a line twice"),
        (b"num_class=1", b"num_class=1\n=num_class=2", "a line of its head is not key=value"),
        (b"\n\nTree=0\n", b"\nTree=0x\n\nTree=0\n", "a line of its head is not key=value"),
        (b"feature_names=", b"feature_names=one_more ", "feature_names of its head are not 4"),
        (b"feature_infos=", b"feature_infos= ", "feature_infos of its head are not 4"),
        (b"label_index=0", b"label_index=", "label_index of its head is not"),
        (b"label_index=0\n", b"", "its head has no label_index"),
        (b"tree\n", b"tree_\n", "does not begin with 'tree'"),
        # A setting among the parameters, by which LightGBM would refuse to explain.
        (b"[linear_tree: 0]", b"[linear_tree: 1]", "linear trees"),
    ],
)  # fmt: skip
def test_a_text_that_lightgbm_would_choke_on_is_refused(old: bytes, new: bytes, why: str) -> None:
    with pytest.raises(ModelNotLoadable, match=why):
        Kernel(bent(old, new))


def test_a_set_of_categories_has_one_node(tmp_path: Path) -> None:
    """A long set behind each of many nodes would take memory by the square of the text."""
    one = Split(0, frozenset({1}), Leaf(1.0), Split(0, frozenset({2}), Leaf(1.0), Leaf(2.0)))
    text = model_text([one], 1)
    assert Kernel(text).outputs == 1
    with pytest.raises(ModelNotLoadable, match="no categories of its own"):
        Kernel(text.replace(b"threshold=0 1", b"threshold=0 0"))


# Texts of others


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_MODELS.is_dir(), reason="the folder with real data is absent")
@pytest.mark.parametrize("name", ["NYC_taxi", "mixed_categorical", "multiclass", "single_tree"])
def test_real_models_are_explained_as_by_lightgbm(name: str) -> None:
    text = (REAL_MODELS / f"{name}.model.txt").read_bytes()
    rng = np.random.default_rng(2)
    # Values on both sides of the model's own thresholds, codes and gaps.
    lows, highs = np.transpose([span(info) for info in loaded(text).dump_model()["feature_infos"].values()])
    rows = rng.uniform(lows - 1, highs + 1, size=(200, len(lows)))
    rows[::2] = np.floor(rows[::2])
    rows[rng.random(rows.shape) < 0.05] = np.nan
    assert largest_difference(text, rows) <= AS_LIGHTGBM


def span(info: dict[str, Any]) -> tuple[float, float]:
    return (float(info["min_value"]), float(info["max_value"]))


@pytest.mark.real_data
@pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent")
def test_a_model_of_real_mortgages_is_explained_as_by_lightgbm() -> None:
    mortgages = hand_over()
    rows = mortgage_features(mortgages.raw).astype(float).to_numpy()[:1000]
    assert len(mortgages.raw) == 160_338 - TRAINING_ROWS
    assert largest_difference(mortgages.package.model_text, rows) <= AS_LIGHTGBM
