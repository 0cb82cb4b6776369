"""The price table names every charge once, by exact text, and says where each figure was seen or why it was not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quicksilver.cost.prices import TABLES, Charge, PriceTable, prices_of, regions
from quicksilver.errors import InvalidInput, NotFound

TEXT = (TABLES / "us-east-1.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("region", regions())
def test_every_table_is_valid_and_of_the_region_that_it_is_named_for(region: str) -> None:
    table = prices_of(region)
    assert table.region == region
    assert set(table.prices) == set(Charge)


def test_prices_are_exact() -> None:
    assert prices_of("us-east-1").prices[Charge.LAMBDA_ARM64].dollars == Decimal("0.0000133334")


def test_a_region_without_a_table_is_one_sentence() -> None:
    with pytest.raises(
        NotFound, match=r"^There is no price table of 'eu-moon-1'; there is one of us-east-1\.$"
    ):
        prices_of("eu-moon-1")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('dollars = "0.0000002"', "dollars = 0.0000002", "must be written as text"),
        ('dollars = "0.0000002"', 'dollars = "cheap"', "is no decimal number"),
        ('dollars = "0.0000002"', 'dollars = "-1"', "greater than 0"),
        ('dollars = "0.0000002"', 'dollars = "NaN"', "finite"),
        ("[prices.kms_keys]", "[prices.kms_key]", "prices.kms_key"),
        ('unit = "hour"', 'unit = "fortnight"', "unit"),
        ('seen = "the source itself: $1/month"', "", "where it was seen"),
        ('reason = "no copy with a figure for days two to seven was found"', "", "the reason why not"),
        ("looked_up = ", "lookedup = ", "looked_up"),
    ],
)
def test_a_table_that_is_not_exact_or_not_whole_names_the_field(old: str, new: str, reason: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidInput, match=r"^The price table is not valid\.$") as refused:
        PriceTable.from_toml(TEXT.replace(old, new, 1))
    assert reason in " ".join(str(field) for field in refused.value.fields)


def test_a_table_without_one_charge_names_it() -> None:
    before, _, after = TEXT.partition("[prices.kms_keys]")
    with pytest.raises(InvalidInput) as refused:
        PriceTable.from_toml(before + after[after.index("\n[") :])
    assert "has no price of kms_keys" in str(refused.value.fields[0])


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not TOML"):
        PriceTable.from_toml("prices = {")


def test_only_what_is_used_and_was_not_seen_is_noted() -> None:
    table = prices_of("us-east-1")
    assert table.unverified([Charge.KMS_KEYS]) == []
    assert table.unverified([Charge.KINESIS_KEPT, Charge.KMS_KEYS, Charge.KINESIS_KEPT]) == [
        "Not verified: kinesis_kept (no copy with a figure for days two to seven was found)."
    ]
