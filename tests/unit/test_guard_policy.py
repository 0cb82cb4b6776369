"""The guards file: what it says, what it refuses, and how alpha is shared out."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from quicksilver.errors import InvalidPolicy
from quicksilver.guard_policy import GuardName, Guards, Limits, Weights

FILE = """
schema_version = 1
alpha = 0.02
min_requests = 500
requests_per_entity = 3.5

[limits]
approval_rate = 0.01

[weights]
score_shift = 0
error_rate = 2
"""


def test_a_file_says_what_differs_from_the_defaults() -> None:
    guards = Guards.from_toml(FILE)
    assert (guards.alpha, guards.min_requests, guards.requests_per_entity) == (0.02, 500, 3.5)
    assert guards.limits == Limits(approval_rate=0.01)
    assert guards.weights == Weights(score_shift=0, error_rate=2)


def test_an_empty_file_is_the_defaults() -> None:
    assert Guards.from_toml("") == Guards()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("alpha = 0", "alpha"),
        ("alpha = 0.3", "alpha"),
        ("alpha = nan", "alpha"),
        ("min_requests = 0", "min_requests"),
        ("requests_per_entity = 0.5", "requests_per_entity"),
        ("hard_failure_share = 1.1", "hard_failure_share"),
        ("[limits]\nerror_rate = 0", "limits.error_rate"),
        ("[limits]\nerror_rate = 1.1", "limits.error_rate"),
        ("[limits]\nscore_shift = 101", "limits.score_shift"),
        ("[limits]\nlatency = 0.1", "limits.latency"),
        ("[weights]\nslow_rate = -1", "weights.slow_rate"),
        ("[weights]\nslow_rate = inf", "weights.slow_rate"),
        ("bake = 3", "bake"),
        ("schema_version = 2", "schema_version"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Guards.from_toml(text)
    assert [error.field for error in refused.value.fields] == [field]


def test_a_file_that_is_not_toml_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidPolicy, match="not TOML"):
        Guards.from_toml("alpha 0.01")


def test_some_guard_must_be_able_to_roll_back() -> None:
    with pytest.raises(ValidationError, match="one weight at least must be above 0"):
        Weights(**{guard.value: 0.0 for guard in GuardName})


def test_every_guard_has_a_limit_and_a_weight_and_nothing_else_has() -> None:
    assert set(Limits.model_fields) == set(Weights.model_fields) == {guard.value for guard in GuardName}


@given(
    alpha=st.floats(1e-6, 0.2),
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1_000)), min_size=5, max_size=5).filter(any),
)
def test_the_shares_of_alpha_add_up_to_it(alpha: float, weights: list[float]) -> None:
    guards = Guards(alpha=alpha, weights=Weights(**dict(zip(GuardName, weights, strict=True))))
    thresholds = [guards.log_threshold(guard) for guard in GuardName]
    assert [threshold is None for threshold in thresholds] == [weight == 0 for weight in weights]
    assert math.isclose(sum(math.exp(-each) for each in thresholds if each is not None), alpha)


def test_the_guards_of_card_fraud_are_the_defaults_written_out() -> None:
    text = (Path(__file__).resolve().parents[2] / "policies" / "guards" / "card-fraud.toml").read_text()
    assert Guards.from_toml(text) == Guards()
    assert set(tomllib.loads(text)) == set(Guards.model_fields)
    assert set(tomllib.loads(text)["limits"]) == set(tomllib.loads(text)["weights"]) == set(GuardName)
