"""What every implementation of a store promises, run on each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from quicksilver.aws.s3_artifacts import S3ArtifactStore
from quicksilver.errors import NotFound
from quicksilver.memory import ManualClock, MemoryArtifactStore
from quicksilver.ports import (
    ArtifactStore,
    ContractStore,
    Deadline,
    FeatureKey,
    FeatureRow,
    FeatureStore,
    LogEntry,
    OutcomeStore,
    PredictionStream,
    UndeliveredStore,
)

if TYPE_CHECKING:
    from quicksilver.package import Package

CARD, OTHER = FeatureKey("card", "card_1"), FeatureKey("card", "card_2")


def in_time() -> Deadline:
    return Deadline.after_ms(ManualClock(), 10_000)


class TestFeatureStore:
    def test_values_of_every_type_come_back_equal(self, feature_store: FeatureStore) -> None:
        values = {
            "a": 0.1 + 0.2,
            "b": 3,
            "c": True,
            "d": "pos",
            "e": -1e-100,
            "f": 1.7976931348623157e100,
            "g": 0.0,
        }
        feature_store.write([FeatureRow(CARD, 1_760_000_000_123, values)])
        row = feature_store.read([CARD], list(values), in_time()).rows[CARD]
        assert (dict(row.values), row.as_of_ms) == (values, 1_760_000_000_123)
        assert row.values["c"] is True

    def test_only_the_named_features_are_read(self, feature_store: FeatureStore) -> None:
        feature_store.write([FeatureRow(CARD, 1, {"a": 1.0, "count": 2.0})])
        assert feature_store.read([CARD], ["count", "zone"], in_time()).rows[CARD].values == {"count": 2.0}

    def test_a_key_without_a_row_is_neither_found_nor_late(self, feature_store: FeatureStore) -> None:
        feature_store.write([FeatureRow(CARD, 1, {"a": 1.0})])
        reading = feature_store.read([CARD, OTHER], ["a"], in_time())
        assert (set(reading.rows), reading.late) == ({CARD}, frozenset())

    def test_a_row_replaces_the_one_under_its_key(self, feature_store: FeatureStore) -> None:
        feature_store.write([FeatureRow(CARD, 1, {"a": 1.0, "b": 2.0}), FeatureRow(CARD, 2, {"a": 5.0})])
        row = feature_store.read([CARD], ["a", "b"], in_time()).rows[CARD]
        assert (row.as_of_ms, dict(row.values)) == (2, {"a": 5.0})

    def test_more_rows_than_one_call_takes_are_all_written(self, feature_store: FeatureStore) -> None:
        keys = [FeatureKey("card", f"card_{number}") for number in range(60)]
        assert feature_store.write(FeatureRow(key, 1, {"a": 1.0}) for key in keys) == 60
        assert set(feature_store.read(keys, ["a"], in_time()).rows) == set(keys)

    def test_any_number_of_keys_is_read_at_once_and_one_given_twice_once(
        self, feature_store: FeatureStore
    ) -> None:
        keys = [FeatureKey("card", f"card_{number}") for number in range(230)]
        feature_store.write(FeatureRow(key, 1, {"a": 1.0}) for key in keys[:225])
        reading = feature_store.read([*keys, *keys[:30]], ["a"], in_time())
        assert (set(reading.rows), reading.late) == (set(keys[:225]), frozenset())

    def test_no_keys_is_an_empty_reading(self, feature_store: FeatureStore) -> None:
        assert feature_store.read([], ["a"], in_time()).rows == {}

    def test_groups_do_not_share_rows(self, feature_store: FeatureStore) -> None:
        feature_store.write([FeatureRow(FeatureKey("merchant", "card_1"), 1, {"a": 1.0})])
        assert feature_store.read([CARD], ["a"], in_time()).rows == {}

    def test_keys_are_late_once_the_deadline_has_passed(self, feature_store: FeatureStore) -> None:
        feature_store.write([FeatureRow(CARD, 1, {"a": 1.0})])
        clock = ManualClock()
        deadline = Deadline.after_ms(clock, 5)
        clock.advance_ms(6)
        reading = feature_store.read([CARD], ["a"], deadline)
        assert (reading.rows, reading.late) == ({}, frozenset({CARD}))


class TestArtifactStore:
    def test_files_come_back_byte_for_byte(self, artifact_store: ArtifactStore, package: Package) -> None:
        artifact_store.put(package.sha256, package.files)
        for name, data in package.files.items():
            assert artifact_store.get(package.sha256, name) == data

    def test_what_is_stored_is_never_overwritten(self, artifact_store: ArtifactStore) -> None:
        artifact_store.put("a" * 64, {"model.txt": b"first"})
        artifact_store.put("a" * 64, {"model.txt": b"second"})
        assert artifact_store.get("a" * 64, "model.txt") == b"first"

    def test_a_file_that_is_not_there_is_not_found(self, artifact_store: ArtifactStore) -> None:
        with pytest.raises(NotFound, match=r"model\.txt"):
            artifact_store.get("b" * 64, "model.txt")

    def test_evidence_comes_back_byte_for_byte_and_is_never_overwritten(
        self, artifact_store: S3ArtifactStore | MemoryArtifactStore
    ) -> None:
        artifact_store.put_evidence("c" * 64, b"first")
        artifact_store.put_evidence("c" * 64, b"second")
        assert artifact_store.get_evidence("c" * 64) == b"first"
        with pytest.raises(NotFound):
            artifact_store.get_evidence("d" * 64)


class TestUndeliveredStore:
    entries = tuple(
        LogEntry(f"{n:08d}", f"card_{n}", b'{"prediction_id":"%08d","entity_id":"card_%d"}\n' % (n, n))
        for n in range(3)
    )

    def test_a_batch_comes_back_entry_for_entry(self, undelivered_store: UndeliveredStore) -> None:
        undelivered_store.keep("card-fraud", self.entries)
        (batch,) = undelivered_store.batches()
        assert tuple(undelivered_store.read(batch)) == self.entries

    def test_batches_come_oldest_first(self, undelivered_store: UndeliveredStore) -> None:
        for entry in self.entries:
            undelivered_store.keep("card-fraud", [entry])
        assert [undelivered_store.read(batch)[0] for batch in undelivered_store.batches()] == list(
            self.entries
        )

    def test_a_batch_that_another_run_has_discarded_has_no_entries(
        self, undelivered_store: UndeliveredStore
    ) -> None:
        undelivered_store.keep("card-fraud", self.entries)
        (batch,) = undelivered_store.batches()
        undelivered_store.discard(batch)
        assert list(undelivered_store.read(batch)) == []

    def test_a_batch_takes_no_others_place(self, undelivered_store: UndeliveredStore) -> None:
        # Given a batch that redeliver has read, and is about to discard
        undelivered_store.keep("card-fraud", self.entries[:1])
        (read,) = undelivered_store.batches()
        # When the same environment keeps its first record again, with others behind it
        undelivered_store.keep("card-fraud", self.entries)
        undelivered_store.discard(read)
        # Then those are kept still
        (left,) = undelivered_store.batches()
        assert tuple(undelivered_store.read(left)) == self.entries

    def test_a_replaced_batch_keeps_its_name_and_its_place(self, undelivered_store: UndeliveredStore) -> None:
        undelivered_store.keep("card-fraud", self.entries)
        (batch,) = undelivered_store.batches()
        undelivered_store.replace(batch, self.entries[1:])
        assert list(undelivered_store.batches()) == [batch]
        assert tuple(undelivered_store.read(batch)) == self.entries[1:]

    def test_a_discarded_batch_is_gone_and_discarding_twice_is_no_error(
        self, undelivered_store: UndeliveredStore
    ) -> None:
        undelivered_store.keep("card-fraud", self.entries)
        (batch,) = undelivered_store.batches()
        undelivered_store.discard(batch)
        undelivered_store.discard(batch)
        assert list(undelivered_store.batches()) == []


class TestPredictionStream:
    def test_accepted_entries_are_not_returned(self, prediction_stream: PredictionStream) -> None:
        assert (
            list(prediction_stream.put([LogEntry("1", "card_1", b"{}\n"), LogEntry("2", "card_2", b"{}\n")]))
            == []
        )


class TestContractStore:
    def test_the_first_to_keep_a_contract_is_the_last(
        self, contract_store: tuple[ContractStore, Callable[[], dict[str, bytes]]]
    ) -> None:
        store, kept = contract_store
        store.keep("a" * 64, b"first\n")
        store.keep("b" * 64, b"other\n")
        store.keep("a" * 64, b"second\n")
        assert kept() == {"a" * 64: b"first\n", "b" * 64: b"other\n"}


class TestOutcomeStore:
    def test_what_is_kept_is_in_the_archive_once_however_often_it_is_given(
        self, outcome_store: tuple[OutcomeStore, Callable[[], list[bytes]]]
    ) -> None:
        store, lines = outcome_store
        for batch in (b"1\n2\n", b"3\n", b"1\n2\n"):
            store.keep("card-fraud", batch)
        assert sorted(lines()) == [b"1", b"2", b"3"]

    def test_endpoints_keep_theirs_apart(
        self, outcome_store: tuple[OutcomeStore, Callable[[], list[bytes]]]
    ) -> None:
        store, lines = outcome_store
        store.keep("card-fraud", b"1\n")
        store.keep("credit-line", b"1\n")
        assert lines() == [b"1", b"1"]
