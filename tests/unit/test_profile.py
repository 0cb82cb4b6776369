"""The reference profile: frozen edges that lose no row, and clear words where there is nothing to profile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, strategies as st

from quicksilver.contract import Contract
from quicksilver.errors import InvalidPackage
from quicksilver.frame import Encoded
from quicksilver.profile import NumericHistogram, ReferenceProfile, check_profile
from quicksilver.profile_builder import MINIMUM_ROWS, build_profile, numeric_histogram
from tests.conftest import contract_content

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.conftest import Trained


@given(st.lists(st.floats(allow_infinity=False), min_size=1), st.integers(2, 12))
def test_every_value_is_counted_once_in_the_bin_it_falls_in(values: list[float], bins: int) -> None:
    if all(math.isnan(value) for value in values):
        return
    histogram = numeric_histogram(np.array(values), bins=bins)
    expected = [0] * len(histogram.counts)
    for value in values:
        if (place := histogram.bin_of(value)) is not None:
            expected[place] += 1
    assert list(histogram.counts) == expected
    assert histogram.rows == len(values)
    assert histogram.counts[0] == 0, "below the reference's range lies nothing of it"


def test_outside_the_reference_range_there_are_open_bins_on_both_sides() -> None:
    histogram = numeric_histogram(np.arange(100.0), bins=10)
    assert histogram.counts == (0, *[10] * 10, 0)
    assert histogram.edges[:-1] == tuple(range(0, 100, 10))
    assert (histogram.bin_of(-1e300), histogram.bin_of(1e300)) == (0, 11)
    assert (histogram.bin_of(0.0), histogram.bin_of(99.0), histogram.bin_of(math.nan)) == (1, 10, None)


def test_few_distinct_values_have_a_bin_each() -> None:
    histogram = numeric_histogram(np.array([3.0, 1.0, 1.0, 7.0, math.nan]), bins=10)
    assert histogram.edges == (1.0, 3.0, 7.0, math.nextafter(7.0, math.inf))
    assert (histogram.counts, histogram.missing) == ((0, 2, 1, 1, 0), 1)


def test_a_constant_column_has_one_bin_and_anything_else_is_outside_it(trained: Trained) -> None:
    vectors = trained.vectors.copy()
    vectors[:, 0] = 80.0
    histogram = trained.pack(reference=vectors).reference.features["amount"]
    assert isinstance(histogram, NumericHistogram)
    assert histogram.counts == (0, len(vectors), 0)
    assert [histogram.bin_of(value) for value in (79.9, 80.0, 80.1)] == [0, 1, 2]


def test_an_all_missing_column_is_named(trained: Trained) -> None:
    vectors = trained.vectors.copy()
    vectors[:, 5] = np.nan
    with pytest.raises(InvalidPackage) as refusal:
        trained.pack(reference=vectors)
    assert str(refusal.value) == "A feature is missing in every row of the reference."
    assert [field.field for field in refusal.value.fields] == ["merchant_risk"]


@pytest.mark.parametrize("rows", [0, MINIMUM_ROWS - 1])
def test_too_few_rows_to_stand_on_are_refused(trained: Trained, rows: int) -> None:
    few = Encoded(trained.vectors[:rows], np.zeros((rows, 6), bool), np.zeros(rows, bool), {})
    with pytest.raises(InvalidPackage, match=f"too few rows: {rows}, and {MINIMUM_ROWS} are the least"):
        build_profile(trained.contract, few, np.zeros(rows))


def test_categories_are_counted_in_the_order_of_codes_and_unseen_ones_apart(trained: Trained) -> None:
    channel = np.array(["pos", "online", "atm"], dtype=object)[trained.vectors[:, 1].astype(int)]
    channel[:7] = "carrier pigeon"
    channel[7:10] = None
    columns = {name: trained.vectors[:, i] for i, name in enumerate(trained.contract.names)}
    columns |= {"channel": channel, "cross_border": trained.vectors[:, 2].astype(bool)}
    profile = trained.pack(reference=columns).reference
    codes = trained.vectors[10:, 1]
    histogram = profile.features["channel"]
    assert histogram.kind == "category"
    assert histogram.counts == tuple(int((codes == code).sum()) for code in range(3))
    assert (histogram.unseen, histogram.missing, histogram.rows) == (7, 3, len(trained.vectors))
    border = profile.features["cross_border"]
    assert border.counts == (int((trained.vectors[:, 2] == 0).sum()), int(trained.vectors[:, 2].sum()))


def test_the_score_is_profiled_as_serving_gives_it(trained: Trained, package: Package) -> None:
    scores = np.asarray(trained.booster.predict(trained.vectors))
    edges = package.reference.score.edges
    assert edges[0] == pytest.approx(scores.min(), rel=1e-14)
    assert edges[-1] == pytest.approx(scores.max(), rel=1e-14)
    assert package.reference.score.rows == package.reference.rows == len(scores)


def test_a_profile_survives_its_json(package: Package) -> None:
    profile = package.reference
    again = ReferenceProfile.from_json(profile.canonical_json)
    assert (again, again.canonical_json) == (profile, profile.canonical_json)


def test_a_profile_that_does_not_add_up_is_refused(package: Package) -> None:
    text = package.reference.canonical_json.replace(b'"rows":1500', b'"rows":1501')
    with pytest.raises(InvalidPackage, match="reference profile is not valid"):
        ReferenceProfile.from_json(text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "other"}, "other: is in the contract and not in the profile"),
        ({"categories": ["pos", "online"]}, "channel: has 2 categories in the contract and 3 in the profile"),
        (
            {"type": "number", "categories": []},
            "channel: is number in the contract and category in the profile",
        ),
    ],
)
def test_a_profile_of_another_contract_is_refused(
    package: Package, change: dict[str, object], complaint: str
) -> None:
    content = contract_content()
    content["features"][1] |= change
    with pytest.raises(InvalidPackage) as refusal:
        check_profile(package.reference, Contract.model_validate(content))
    assert f"features.{complaint}" in map(str, refusal.value.fields)
