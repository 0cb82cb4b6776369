"""One decision for each key, whatever happens between the steps of those who ask for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Semaphore, Thread
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from quicksilver.errors import KeyInFlight, KeyReused, Unavailable
from quicksilver.idempotency import Idempotency, KeyedAnswer, KeyedRequest, KeyStatus
from quicksilver.memory import ManualClock, MemoryIdempotencyStore, MemoryMetrics
from quicksilver.ports import Deadline, Hold, IdempotencyStore

ASKED = KeyedRequest("arn:aws:iam::111122223333:user/engine", "key-1", b"{}")
ATTEMPT_SECONDS, KEEP_SECONDS = 16, 3_600


@dataclass
class Endpoint:
    """One endpoint's keys; ``ask`` asks for a decision and numbers those that are made."""

    store: IdempotencyStore = field(default_factory=MemoryIdempotencyStore)
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)
    made: list[str] = field(default_factory=list)
    name: str = "card-fraud"
    meanwhile: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        attempts = itertools.count()
        self.keys = Idempotency(
            self.name,
            self.store,
            clock=self.clock,
            metrics=self.metrics,
            pause=self.pause,
            new_attempt=lambda: f"{id(self)}-{next(attempts)}",
            attempt_seconds=ATTEMPT_SECONDS,
            keep_seconds=KEEP_SECONDS,
        )

    def pause(self, attempt: int, most_seconds: float) -> None:
        assert most_seconds > 0
        self.clock.advance_ms(10)
        self.meanwhile()

    def decide(self, deadline: Deadline) -> str:
        answer = f"decision {len(self.made) + 1}"
        self.made.append(answer)
        return answer

    def ask(
        self, request: KeyedRequest = ASKED, decide: Callable[[Deadline], str] | None = None, ms: int = 200
    ) -> KeyedAnswer:
        return self.keys.answer(request, Deadline.after_ms(self.clock, ms), decide or self.decide)


def fail(_: Deadline) -> str:
    raise Unavailable("The model is away.")


class Flaky(MemoryIdempotencyStore):
    """A store of which single calls get lost: before they arrive, or their answers on the way back."""

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self._faults = iter(faults)

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        return self._through(
            lambda: MemoryIdempotencyStore.take(self, hold, now_ms=now_ms, deadline=deadline)
        )

    def release(self, hold: Hold, *, deadline: Deadline) -> None:
        self._through(lambda: MemoryIdempotencyStore.release(self, hold, deadline=deadline))

    def _through(self, call: Callable[[], Any]) -> Any:
        fault = next(self._faults, "")
        if fault == "request lost":
            raise Unavailable("lost")
        result = call()
        if fault == "answer lost":
            raise Unavailable("lost")
        return result


# --- one caller after another ---------------------------------------------------------------------------------


def test_a_repetition_gets_the_first_answers_bytes_and_makes_no_decision() -> None:
    endpoint = Endpoint()
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.STORED)
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.REPLAYED)
    assert endpoint.made == ["decision 1"]
    assert endpoint.metrics.counts == {"RequestsReplayed": 1}


def test_another_payload_under_the_key_is_refused_before_and_after_the_answer() -> None:
    endpoint = Endpoint()
    other = KeyedRequest(ASKED.caller, ASKED.key, b"[]")

    def decide(deadline: Deadline) -> str:
        with pytest.raises(KeyReused):
            endpoint.ask(other)
        return endpoint.decide(deadline)

    endpoint.ask(decide=decide)
    with pytest.raises(KeyReused):
        endpoint.ask(other)
    assert endpoint.made == ["decision 1"]


@pytest.mark.parametrize(
    "other",
    [
        KeyedRequest("arn:aws:iam::111122223333:user/other", "key-1", b"{}"),
        KeyedRequest("arn:aws:iam::444455556666:user/engine", "key-1", b"{}"),
        KeyedRequest(ASKED.caller, "key-2", b"{}"),
        KeyedRequest("", "key-1", b"{}"),
        KeyedRequest(ASKED.caller + "key", "-1", b"{}"),
    ],
)
def test_nobody_gets_an_answer_by_another_key_or_another_callers(other: KeyedRequest) -> None:
    endpoint = Endpoint()
    endpoint.ask()
    assert endpoint.ask(other) == KeyedAnswer("decision 2", KeyStatus.STORED)


def test_endpoints_do_not_share_keys() -> None:
    first = Endpoint()
    second = Endpoint(store=first.store, name="credit-line")
    first.ask()
    assert second.ask().status is KeyStatus.STORED


def test_sessions_of_one_role_are_one_caller_and_roles_are_not() -> None:
    endpoint = Endpoint()
    role = "arn:aws:sts::111122223333:assumed-role/engine"
    endpoint.ask(KeyedRequest(f"{role}/host-1", "key-1", b"{}"))
    assert endpoint.ask(KeyedRequest(f"{role}/host-2", "key-1", b"{}")).status is KeyStatus.REPLAYED
    assert endpoint.ask(KeyedRequest(f"{role}-2/host-1", "key-1", b"{}")).status is KeyStatus.STORED


def test_keys_and_callers_cannot_be_read_in_the_store() -> None:
    endpoint = Endpoint(store=(store := MemoryIdempotencyStore()))
    endpoint.ask()
    ((key, _),) = store.holds.items()
    assert len(key) == 64
    assert "engine" not in repr(store.holds)


def test_an_answer_expires() -> None:
    endpoint = Endpoint()
    endpoint.ask()
    endpoint.clock.advance_ms(KEEP_SECONDS * 1_000 - 1)
    assert endpoint.ask().status is KeyStatus.REPLAYED
    endpoint.clock.advance_ms(1)
    assert endpoint.ask() == KeyedAnswer("decision 2", KeyStatus.STORED)


def test_a_failure_frees_the_key_and_is_not_stored() -> None:
    endpoint = Endpoint()
    with pytest.raises(Unavailable, match="The model is away"):
        endpoint.ask(decide=fail)
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.STORED)


# --- while another attempt is under way -----------------------------------------------------------------------


def crash(_: Deadline) -> str:
    raise SystemExit  # no code of ours runs after it, as when Lambda kills the process


def crashed(endpoint: Endpoint) -> None:
    with pytest.raises(SystemExit):
        endpoint.ask(decide=crash)


def test_who_asks_meanwhile_waits_for_the_answer() -> None:
    # Given an attempt under way
    store = MemoryIdempotencyStore()
    endpoint = Endpoint(store=store)
    crashed(endpoint)
    (hold,) = store.holds.values()

    # When it answers while another request with its key waits
    def answer() -> None:
        store.holds[hold.key] = replace(hold, answer="the first one's")

    endpoint.meanwhile = answer
    # Then the other gets that answer, and decides nothing
    assert endpoint.ask() == KeyedAnswer("the first one's", KeyStatus.REPLAYED)
    assert endpoint.made == []


def test_waiting_ends_within_half_of_the_time_and_says_that_the_key_is_in_flight() -> None:
    endpoint = Endpoint()
    crashed(endpoint)
    began_ms = endpoint.clock.now_ms()
    with pytest.raises(KeyInFlight):
        endpoint.ask(ms=200)
    assert 100 <= endpoint.clock.now_ms() - began_ms <= 110
    assert endpoint.made == []


def test_a_waiting_request_takes_over_when_the_other_fails() -> None:
    store = MemoryIdempotencyStore()
    endpoint = Endpoint(store=store)
    crashed(endpoint)
    endpoint.meanwhile = store.holds.clear
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.STORED)


def test_a_crashed_attempt_blocks_its_key_until_the_functions_timeout_and_no_longer() -> None:
    endpoint = Endpoint()
    crashed(endpoint)
    endpoint.clock.advance_ms(ATTEMPT_SECONDS * 1_000 - 200)
    with pytest.raises(KeyInFlight):
        endpoint.ask(ms=20)
    endpoint.clock.advance_ms(200)
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.STORED)


def test_a_decision_leaves_time_to_store_it() -> None:
    endpoint = Endpoint()
    left: list[float] = []

    def decide(deadline: Deadline) -> str:
        left.append(deadline.remaining_seconds())
        endpoint.clock.advance_ms(int(left[-1] * 1_000))  # all the time it was given
        return endpoint.decide(deadline)

    assert endpoint.ask(decide=decide, ms=1_000).status is KeyStatus.STORED
    assert endpoint.ask(KeyedRequest("", "2", b""), decide, ms=50).status is KeyStatus.STORED
    assert left == [0.975, 0.04]


# --- when the store fails -------------------------------------------------------------------------------------


def test_with_the_store_away_a_decision_is_made_and_marked() -> None:
    store = MemoryIdempotencyStore()
    endpoint = Endpoint(store=store)
    store.available = False
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.UNAVAILABLE)
    assert endpoint.metrics.counts == {"RequestsUnguarded": 1}


class Hanging(MemoryIdempotencyStore):
    """A store that never answers: each call takes all the time that it is given."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        self._clock.advance_ms(max(0, int(deadline.remaining_seconds() * 1_000)))
        raise Unavailable("no answer")


@pytest.mark.parametrize("ms", [1, 10, 50, 200, 1_000])
def test_a_store_that_hangs_takes_neither_the_answer_nor_the_time_for_a_decision(ms: int) -> None:
    clock = ManualClock()
    endpoint = Endpoint(store=Hanging(clock), clock=clock)
    left_ms: list[float] = []

    def decide(deadline: Deadline) -> str:
        left_ms.append(deadline.remaining_seconds() * 1_000)
        return endpoint.decide(deadline)

    began_ms = clock.now_ms()
    assert endpoint.ask(decide=decide, ms=ms).status is KeyStatus.UNAVAILABLE
    assert left_ms[0] >= 0.6 * ms - 1
    assert clock.now_ms() - began_ms <= ms


def test_a_deadline_that_has_passed_is_not_moved() -> None:
    endpoint = Endpoint()
    left: list[float] = []

    def decide(deadline: Deadline) -> str:
        left.append(deadline.remaining_seconds())
        return endpoint.decide(deadline)

    assert endpoint.ask(decide=decide, ms=-20).status is KeyStatus.UNAVAILABLE
    assert left == [-0.02]


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
def test_a_key_that_could_not_be_taken_at_first_is_taken_with_the_answer(fault: str) -> None:
    endpoint = Endpoint(store=Flaky(fault))
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.STORED)
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.REPLAYED)


def test_an_answer_that_could_not_be_stored_is_given_and_marked_and_its_key_is_free_in_time() -> None:
    endpoint = Endpoint(store=Flaky("", "request lost"))
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.UNAVAILABLE)
    with pytest.raises(KeyInFlight):
        endpoint.ask()
    endpoint.clock.advance_ms(ATTEMPT_SECONDS * 1_000)
    assert endpoint.ask() == KeyedAnswer("decision 2", KeyStatus.STORED)


def test_an_answer_that_was_stored_unheard_is_the_one_that_is_repeated() -> None:
    endpoint = Endpoint(store=Flaky("", "answer lost"))
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.UNAVAILABLE)
    assert endpoint.ask() == KeyedAnswer("decision 1", KeyStatus.REPLAYED)


def test_a_key_that_cannot_be_released_leaves_the_errors_own_words() -> None:
    endpoint = Endpoint(store=Flaky("", "request lost"))
    with pytest.raises(Unavailable, match="The model is away"):
        endpoint.ask(decide=fail)
    endpoint.clock.advance_ms(ATTEMPT_SECONDS * 1_000)
    assert endpoint.ask().status is KeyStatus.STORED


def test_a_store_that_falls_silent_while_another_attempt_is_known_causes_no_second_decision() -> None:
    store = MemoryIdempotencyStore()
    endpoint = Endpoint(store=store)
    crashed(endpoint)

    def fall_silent() -> None:
        store.available = False

    endpoint.meanwhile = fall_silent
    with pytest.raises(KeyInFlight):
        endpoint.ask()
    assert endpoint.made == []


# --- any interleaving -----------------------------------------------------------------------------------------


class Turns:
    """Runs requests in threads of their own, one step at a time, in the order that it is told."""

    def __init__(self) -> None:
        self._turns: list[Semaphore] = []
        self._stepped = Semaphore(0)
        self._running: list[bool] = []

    def add(self, request: Callable[[Callable[[], None]], None]) -> None:
        turn, number = Semaphore(0), len(self._turns)
        self._turns.append(turn)
        self._running.append(True)

        def step() -> None:
            self._stepped.release()
            turn.acquire()

        def run() -> None:
            turn.acquire()
            request(step)
            self._running[number] = False
            self._stepped.release()

        Thread(target=run, daemon=True).start()

    def run(self, order: list[int]) -> None:
        """Whoever is left when the order ends goes in turn."""
        for number in itertools.chain(order, itertools.cycle(range(len(self._turns)))):
            if not any(self._running):
                return
            chosen = number % len(self._turns)
            if self._running[chosen]:
                self._turns[chosen].release()
                self._stepped.acquire()


class Stepwise(MemoryIdempotencyStore):
    """One environment's way to the shared store: a turn is waited for before each call."""

    def __init__(self, shared: IdempotencyStore, step: Callable[[], None]) -> None:
        self._shared, self._step = shared, step

    def take(self, hold: Hold, *, now_ms: int, deadline: Deadline) -> Hold:
        self._step()
        return self._shared.take(hold, now_ms=now_ms, deadline=deadline)

    def release(self, hold: Hold, *, deadline: Deadline) -> None:
        self._step()
        self._shared.release(hold, deadline=deadline)


def interleaved(
    shared: IdempotencyStore, fails: list[bool], order: list[int]
) -> tuple[list[KeyedAnswer | Exception], list[str]]:
    """What came of each request, and the decisions that were made."""
    made: list[str] = []
    results: list[KeyedAnswer | Exception] = [AssertionError("not finished")] * len(fails)
    turns = Turns()
    for number, failing in enumerate(fails):

        def request(step: Callable[[], None], number: int = number, failing: bool = failing) -> None:
            endpoint = Endpoint(store=Stepwise(shared, step), made=made)

            def decide(deadline: Deadline) -> str:
                step()
                return fail(deadline) if failing else endpoint.decide(deadline)

            try:
                results[number] = endpoint.ask(decide=decide)
            except Exception as error:
                results[number] = error

        turns.add(request)
    turns.run(order)
    return results, made


ORDERS = st.lists(st.integers(0, 2), max_size=40)


@given(requests=st.integers(2, 3), order=ORDERS)
@settings(deadline=None)
def test_any_interleaving_makes_one_decision_and_gives_its_bytes_to_all(
    requests: int, order: list[int]
) -> None:
    results, made = interleaved(MemoryIdempotencyStore(), [False] * requests, order)
    assert made == ["decision 1"]
    answered = [result for result in results if isinstance(result, KeyedAnswer)]
    assert {answer.body for answer in answered} == {"decision 1"}
    assert [answer.status for answer in answered].count(KeyStatus.STORED) == 1
    assert all(isinstance(result, KeyedAnswer | KeyInFlight) for result in results)


@given(fails=st.lists(st.booleans(), min_size=2, max_size=3), order=ORDERS)
@settings(deadline=None)
def test_failing_attempts_in_between_change_nothing_of_that(fails: list[bool], order: list[int]) -> None:
    results, made = interleaved(MemoryIdempotencyStore(), fails, order)
    answered = [result for result in results if isinstance(result, KeyedAnswer)]
    assert len(made) <= 1
    assert {answer.body for answer in answered} == set(made)
    assert all(isinstance(result, KeyedAnswer | KeyInFlight | Unavailable) for result in results)


@given(
    requests=st.integers(2, 3),
    order=ORDERS,
    faults=st.lists(st.sampled_from(["", "request lost", "answer lost"]), max_size=12),
)
@settings(deadline=None)
def test_whatever_calls_get_lost_each_is_answered_and_no_two_guaranteed_answers_differ(
    requests: int, order: list[int], faults: list[str]
) -> None:
    results, made = interleaved(Flaky(*faults), [False] * requests, order)
    guaranteed = {
        result.body
        for result in results
        if isinstance(result, KeyedAnswer) and result.status is not KeyStatus.UNAVAILABLE
    }
    assert len(guaranteed) <= 1
    assert all(isinstance(result, KeyedAnswer | KeyInFlight) for result in results)
    bodies = {result.body for result in results if isinstance(result, KeyedAnswer)}
    assert bodies == set(made), "every decision is given to somebody"
