"""The work after an answer: once for each, after the response where the platform allows, before it where not."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from quicksilver.after_response import Extension, Inline, each
from quicksilver.errors import Unavailable
from quicksilver.memory import MemoryMetrics

ROOT = Path(__file__).resolve().parents[2]


class Events:
    """Invocation events under a test's control; what happened is in ``order``, and each step is waited for."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.asked: SimpleQueue[None] = SimpleQueue()
        self.failing = False
        self._begun: SimpleQueue[None] = SimpleQueue()

    def begin(self) -> None:
        self._begun.put(None)

    def ask(self) -> None:
        if self.failing:
            raise Unavailable("The Extensions API cannot be asked.")
        self.order.append("ask")
        self.asked.put(None)

    def receive(self) -> None:
        self._begun.get(timeout=10)
        self.order.append("receive")

    def work(self) -> None:
        self.order.append("work")


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def switch_interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def run(extension: Extension) -> threading.Thread:
    thread = threading.Thread(target=extension.run, daemon=True)
    thread.start()
    return thread


def test_inline_work_is_done_when_the_answer_is_made() -> None:
    done: list[str] = []
    Inline(lambda: done.append("work")).answered()
    assert done == ["work"]


def test_each_answer_has_its_work_once_and_nothing_is_asked_for_before_it_is_done(
    events: Events, switch_interval: float
) -> None:
    extension = Extension(events, events.work, MemoryMetrics())
    run(extension)
    events.asked.get(timeout=10)
    for _ in range(3):
        events.begin()
        extension.answered()
        events.asked.get(timeout=10)
    assert events.order == ["ask"] + ["work", "receive", "ask"] * 3


def test_no_work_is_done_while_an_answer_is_still_being_made(events: Events, switch_interval: float) -> None:
    extension = Extension(events, events.work, MemoryMetrics())
    run(extension)
    events.asked.get(timeout=10)
    events.begin()
    assert events.order == ["ask"]
    extension.answered()
    events.asked.get(timeout=10)
    assert "work" in events.order


def test_the_main_thread_keeps_the_processor_from_its_answer_to_the_next_wait(
    events: Events, switch_interval: float
) -> None:
    # Given a thread that waits for an answer
    extension = Extension(events, events.work, MemoryMetrics())
    run(extension)
    events.asked.get(timeout=10)
    events.begin()
    # When the main thread goes on computing after its answer, for longer than CPython's 5 ms
    extension.answered()
    total = sum(range(500_000))
    # Then the work has not begun
    assert "work" not in events.order
    assert total > 0
    # And begins when the main thread waits
    events.asked.get(timeout=10)
    assert "work" in events.order
    assert sys.getswitchinterval() == pytest.approx(switch_interval)


def test_when_the_extensions_api_fails_the_work_is_done_before_the_response_from_then_on(
    events: Events, switch_interval: float, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = MemoryMetrics()
    extension = Extension(events, events.work, metrics)
    thread = run(extension)
    events.asked.get(timeout=10)
    # Given an API that fails behind the first answer
    events.failing = True
    events.begin()
    extension.answered()
    thread.join(10)
    assert not thread.is_alive()
    # Then it is counted and logged
    assert metrics.counts == {"ExtensionFailed": 1}
    assert "its work is done before it" in caplog.text
    # And the next answers' work is done by whoever makes them
    before = events.order.count("work")
    extension.answered()
    assert events.order.count("work") == before + 1
    assert sys.getswitchinterval() == pytest.approx(switch_interval)


def test_an_answer_made_while_the_api_fails_has_its_work(switch_interval: float) -> None:
    done = threading.Event()

    class Failing:
        """Fails while an answer is being handed over."""

        def ask(self) -> None:
            extension.answered()
            raise Unavailable("The Extensions API cannot be asked.")

        def receive(self) -> None: ...

    extension = Extension(Failing(), done.set, MemoryMetrics())
    run(extension).join(10)
    assert done.is_set()


def test_a_step_that_fails_takes_no_other_with_it_and_its_message_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("4111111111111111")

    each(fail, lambda: done.append("route"), lambda: done.append("metrics"))()
    assert done == ["route", "metrics"]
    assert "4111" not in caplog.text


def test_the_handler_says_that_it_is_done_also_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: list[str] = []

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("unforeseen")

    function = SimpleNamespace(
        answer=fail, after_response=SimpleNamespace(answered=lambda: answered.append("answered"))
    )
    monkeypatch.setattr("quicksilver.bootstrap.score.score_function", lambda: function)
    spec = importlib.util.spec_from_file_location("score_handler", ROOT / "lambdas" / "score" / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    with pytest.raises(RuntimeError):
        handler.lambda_handler({}, SimpleNamespace(function_version="7"))
    assert answered == ["answered"]
