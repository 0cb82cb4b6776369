"""The work after an answer: by an internal Lambda extension once the response has left, or before it where there is none.

Lambda returns the response as soon as the runtime posts it, and freezes the environment only when runtime and
extensions have all asked for the next invocation. So a thread that asks later has the time in between.
https://aws.amazon.com/blogs/compute/performance-and-functionality-improvements-for-aws-lambda-extensions/

::

    runtime     next ── handler ── answered() ── post response ── next
    extension   ask ··············· │ ·························· work ── receive ── ask
                                    └─ wakes the thread, which gets the GIL when the runtime has posted
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from quicksilver.errors import whereabouts
from quicksilver.metrics import Metric
from quicksilver.ports import InvocationEvents, Metrics

logger = logging.getLogger(__name__)

_RESPONDING_SECONDS = 0.1
"""How long the main thread may keep the GIL between ``answered`` and its response's being posted."""


class AfterResponse(Protocol):
    """Does the work that follows each answer, once for each."""

    def answered(self) -> None:
        """An answer is made, or has failed: its work may be done now, or later. Never raises if the work does not."""
        ...


class Inline:
    """The work is done before the response leaves: for a platform that gives no time after it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def answered(self) -> None:
        self._work()


class Extension:
    """The work is done in a thread of its own, after the response has left.

    The order holds by construction. awslambdaric posts a response without letting go of the GIL
    (``method_post_invocation_result`` in its runtime_client.cpp), and until then the main thread blocks on
    nothing; so the thread that ``answered`` wakes can run only when the response is with Lambda. CPython
    would take the GIL from a main thread that is slow to get there (5 ms), hence the longer switch
    interval for that stretch. A runtime client that does let go of the GIL has its bytes in the socket
    before this thread has built a request.

    The INVOKE event lies in the connection from the start of an invocation and is read after the work: what
    wakes the thread is the answer, and nothing competes with the request for the processor.
    """

    def __init__(self, events: InvocationEvents, work: Callable[[], None], metrics: Metrics) -> None:
        self._events = events
        self._work = work
        self._metrics = metrics
        self._answers: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._serving = True
        self._switch_seconds = sys.getswitchinterval()

    def start(self) -> None:
        """Start the thread; Lambda's init phase ends when it has asked for its first event."""
        threading.Thread(target=self.run, name="after-response", daemon=True).start()

    def answered(self) -> None:
        with self._lock:
            serving = self._serving
            if serving:
                sys.setswitchinterval(_RESPONDING_SECONDS)
                self._answers.put(None)
        if not serving:
            self._work()

    def run(self) -> None:
        """Work once for each answer, until the Extensions API fails; from then on ``answered`` works itself."""
        try:
            while True:
                self._events.ask()
                self._answers.get()
                sys.setswitchinterval(self._switch_seconds)
                self._work()
                self._events.receive()
        except Exception as error:
            logger.error(
                "no time after the response any more: its work is done before it", extra=whereabouts(error)
            )
            self._metrics.count(Metric.EXTENSION_FAILED)
        finally:
            sys.setswitchinterval(self._switch_seconds)
            with self._lock:
                self._serving = False
            # For an answer that was made meanwhile.
            self._work()


def each(*steps: Callable[[], None]) -> Callable[[], None]:
    """All the steps as one piece of work, in order.

    It never raises: the decision is made, and neither the answer nor the next step must be lost to a step that fails.
    """

    def work() -> None:
        for step in steps:
            try:
                step()
            except Exception as error:
                logger.error("work after an answer failed", extra=whereabouts(error))

    return work
