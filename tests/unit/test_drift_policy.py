"""The drift policy: what it refuses, and that the files in the checkout say what the code takes."""

from pathlib import Path

import pytest

from quicksilver.drift_policy import DriftPolicy, Season
from quicksilver.errors import InvalidPolicy
from quicksilver.query import Span, text, timestamp

POLICIES = Path(__file__).resolve().parents[2] / "policies" / "drift"


def test_every_policy_in_the_checkout_is_its_files_endpoints() -> None:
    files = sorted(POLICIES.glob("*.toml"))
    assert files
    for file in files:
        assert DriftPolicy.from_toml(file.read_text()).endpoint == file.stem


def test_what_is_left_out_is_a_default() -> None:
    policy = DriftPolicy.from_toml('endpoint = "loans"\nversion = 2\nseason = "weekly"\nwindow_hours = 6\n')
    assert (policy.season, policy.window_ms, policy.fdr) == (Season.WEEKLY, 6 * 3_600_000, 0.005)


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("fdr = 0", "fdr", "greater than 0"),
        ("window_hours = 0", "window_hours", "greater than or equal to 1"),
        ('segments = ["a", "a"]', "", "segments must be distinct"),
        ("limit = 3", "limit", "Extra inputs are not permitted"),
        ("[effects]\npsi = -1", "effects.psi", "greater than 0"),
        (
            "[retraining.business_hours]\nweekdays = [7]",
            "retraining.business_hours.weekdays",
            "less than or equal to 6",
        ),
        ("fdr =", "(file)", "Invalid"),
    ],
)
def test_a_wrong_line_is_named_with_its_reason(line: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        DriftPolicy.from_toml(f'endpoint = "loans"\nversion = 1\n{line}\n')
    said = "; ".join(str(fault) for fault in refused.value.fields)
    assert field in said
    assert reason in said


def test_a_span_is_cut_at_multiples_and_loses_nothing() -> None:
    span = Span(3_500, 10_200)
    slices = list(span.slices(1_000))
    assert [cut.start_ms for cut in slices] == [3_500, *range(4_000, 10_001, 1_000)]
    assert [cut.end_ms for cut in slices] == [*range(4_000, 10_001, 1_000), 10_200]
    assert list(span.slices(None)) == [span]
    with pytest.raises(ValueError, match="must end after it starts"):
        Span(5, 5)


def test_literals_are_quoted() -> None:
    assert timestamp(1_790_000_000_007) == "TIMESTAMP '2026-09-21 14:13:20.007'"
    assert text("o'brien") == "'o''brien'"
