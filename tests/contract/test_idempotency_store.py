"""What every store of idempotency keys promises, run on each of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from quicksilver.aws.system import SystemClock, pause
from quicksilver.errors import KeyInFlight, Unavailable
from quicksilver.idempotency import Idempotency, KeyedAnswer, KeyedRequest, KeyStatus
from quicksilver.memory import ManualClock, MemoryMetrics
from quicksilver.ports import Deadline, Hold, IdempotencyStore

NOW_MS = 1_760_000_000_000
FIRST = Hold("k" * 64, "attempt-1", "a" * 64, until_ms=NOW_MS + 16_000)
SECOND = replace(FIRST, attempt="attempt-2")
ANSWERED = replace(
    FIRST, until_ms=NOW_MS + 86_400_000, answer='{"score": 0.1, "text": "\u00e9\u2028\U0001f600"}'
)


def soon() -> Deadline:
    return Deadline.after_ms(ManualClock(), 10_000)


def take(store: IdempotencyStore, hold: Hold, at_ms: int = NOW_MS) -> Hold:
    return store.take(hold, now_ms=at_ms, deadline=soon())


def test_a_key_that_nobody_holds_is_taken(idempotency_store: IdempotencyStore) -> None:
    assert take(idempotency_store, FIRST) == FIRST


def test_who_comes_second_is_told_who_holds_the_key_and_changes_nothing(
    idempotency_store: IdempotencyStore,
) -> None:
    take(idempotency_store, FIRST)
    other = replace(SECOND, payload_sha256="b" * 64, until_ms=NOW_MS + 99_000, answer="{}")
    assert take(idempotency_store, other) == FIRST
    assert take(idempotency_store, SECOND) == FIRST


def test_an_answer_comes_back_byte_for_byte(idempotency_store: IdempotencyStore) -> None:
    take(idempotency_store, FIRST)
    assert take(idempotency_store, ANSWERED) == ANSWERED
    assert take(idempotency_store, SECOND, NOW_MS + 86_399_999) == ANSWERED


def test_an_answer_as_large_as_any_decision_is_kept(idempotency_store: IdempotencyStore) -> None:
    large = replace(ANSWERED, answer="x" * 200_000)
    take(idempotency_store, large)
    assert take(idempotency_store, SECOND) == large


def test_a_key_can_be_taken_with_its_answer_at_once(idempotency_store: IdempotencyStore) -> None:
    assert take(idempotency_store, ANSWERED) == ANSWERED
    assert take(idempotency_store, SECOND) == ANSWERED


def test_the_same_take_may_arrive_twice(idempotency_store: IdempotencyStore) -> None:
    assert take(idempotency_store, FIRST) == FIRST
    assert take(idempotency_store, FIRST) == FIRST
    assert take(idempotency_store, ANSWERED).attempt == FIRST.attempt
    assert take(idempotency_store, ANSWERED).attempt == FIRST.attempt


def test_a_take_that_was_delayed_does_not_undo_the_answer(idempotency_store: IdempotencyStore) -> None:
    take(idempotency_store, ANSWERED)
    assert take(idempotency_store, FIRST) == ANSWERED
    assert take(idempotency_store, SECOND) == ANSWERED


@pytest.mark.parametrize("hold", [FIRST, ANSWERED], ids=["unanswered", "answered"])
def test_a_key_is_free_from_the_moment_its_hold_ends(idempotency_store: IdempotencyStore, hold: Hold) -> None:
    take(idempotency_store, hold)
    later = replace(SECOND, until_ms=hold.until_ms + 16_000)
    assert take(idempotency_store, later, hold.until_ms - 1) == hold
    assert take(idempotency_store, later, hold.until_ms) == later


def test_an_attempt_whose_hold_went_to_another_cannot_answer(idempotency_store: IdempotencyStore) -> None:
    take(idempotency_store, FIRST)
    later = replace(SECOND, until_ms=FIRST.until_ms + 16_000)
    take(idempotency_store, later, FIRST.until_ms)
    assert take(idempotency_store, ANSWERED, FIRST.until_ms + 1) == later


def test_a_released_key_is_free(idempotency_store: IdempotencyStore) -> None:
    take(idempotency_store, FIRST)
    idempotency_store.release(FIRST, deadline=soon())
    assert take(idempotency_store, SECOND) == SECOND


def test_releasing_another_attempts_key_or_nobodys_does_nothing(idempotency_store: IdempotencyStore) -> None:
    idempotency_store.release(FIRST, deadline=soon())
    take(idempotency_store, FIRST)
    idempotency_store.release(SECOND, deadline=soon())
    assert take(idempotency_store, SECOND) == FIRST


def test_an_answer_cannot_be_released(idempotency_store: IdempotencyStore) -> None:
    take(idempotency_store, ANSWERED)
    idempotency_store.release(FIRST, deadline=soon())
    assert take(idempotency_store, SECOND) == ANSWERED


def test_keys_do_not_share_holds(idempotency_store: IdempotencyStore) -> None:
    other = replace(SECOND, key="j" * 64)
    take(idempotency_store, FIRST)
    assert take(idempotency_store, other) == other


def test_one_of_fifty_attempts_at_once_gets_a_key(idempotency_store: IdempotencyStore) -> None:
    attempts = [replace(FIRST, attempt=f"attempt-{number}") for number in range(50)]
    with ThreadPoolExecutor(16) as pool:
        holders = list(pool.map(lambda hold: take(idempotency_store, hold), attempts))
    assert len(set(holders)) == 1
    assert holders[0] in attempts


def test_fifty_requests_at_once_with_one_key_are_one_decision(idempotency_store: IdempotencyStore) -> None:
    made: list[str] = []
    keys = Idempotency(
        "card-fraud",
        idempotency_store,
        clock=SystemClock(),
        metrics=MemoryMetrics(),
        pause=pause,
        new_attempt=lambda: os.urandom(16).hex(),
        attempt_seconds=16,
        keep_seconds=3_600,
    )

    def decide(_: Deadline) -> str:
        made.append(os.urandom(16).hex())
        return made[-1]

    def ask(_: int) -> KeyedAnswer | None:
        try:
            return keys.answer(
                KeyedRequest("", "key", b"{}"), Deadline.after_ms(SystemClock(), 20_000), decide
            )
        except KeyInFlight:
            return None

    with ThreadPoolExecutor(50) as pool:
        answers = [answer for answer in pool.map(ask, range(50)) if answer]
    assert len(made) == 1
    assert {answer.body for answer in answers} == set(made)
    assert [answer.status for answer in answers].count(KeyStatus.STORED) == 1


def test_nothing_is_taken_or_released_once_the_deadline_has_passed(
    idempotency_store: IdempotencyStore,
) -> None:
    clock = ManualClock()
    passed = Deadline.after_ms(clock, 5)
    clock.advance_ms(5)
    with pytest.raises(Unavailable):
        idempotency_store.take(FIRST, now_ms=NOW_MS, deadline=passed)
    assert take(idempotency_store, SECOND) == SECOND
    with pytest.raises(Unavailable):
        idempotency_store.release(SECOND, deadline=passed)
    assert take(idempotency_store, FIRST) == SECOND
