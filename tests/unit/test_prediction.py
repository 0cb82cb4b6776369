"""The prediction record: what is kept of it under an idempotency key is its answer and, byte for byte, the record itself."""

from __future__ import annotations

from hypothesis import given, strategies as st

from quicksilver.prediction import kept_answer, kept_entry
from tests.prediction_records import prediction_record


@given(
    entity_id=st.text(min_size=1),
    keys=st.dictionaries(st.text(), st.text()),
    ages=st.dictionaries(st.text(), st.integers(0)),
    vector=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
)
def test_what_is_kept_is_the_answer_and_the_record(
    entity_id: str, keys: dict[str, str], ages: dict[str, int], vector: list[float | None]
) -> None:
    record = prediction_record(entity_id=entity_id, keys=keys, feature_ages_ms=ages, vector=tuple(vector))
    assert kept_answer(record.kept) == record.answer_json
    assert kept_entry(record.kept) == record.to_entry()
