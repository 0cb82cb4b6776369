"""The last half second of an execution environment: SIGTERM, received by a thread.

Lambda sends SIGTERM to a function that has an extension, and SIGKILL 500 ms later where it is an internal one
("Shutdown phase", https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html). An internal
extension is told in no other way. Managed Python runtimes pass SIGTERM on since 3.12
(https://github.com/aws-samples/graceful-shutdown-with-aws-lambda).

A Python signal handler would not run: the main thread sits in awslambdaric's C call, waiting for an invocation, and
handlers run in the main thread between bytecodes. So the signal is blocked, and a thread waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from quicksilver.errors import whereabouts

logger = logging.getLogger(__name__)


class Termination:
    """Holds SIGTERM from when it is made. To be made before any thread is: threads inherit what is blocked."""

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def then(self, work: Callable[[], None]) -> None:
        """At SIGTERM, work, and end the process."""
        threading.Thread(target=self._wait, args=(work,), name="termination", daemon=True).start()

    def _wait(self, work: Callable[[], None]) -> None:
        signal.sigwait({signal.SIGTERM})
        try:
            work()
        except Exception as error:
            logger.error("work at termination failed", extra=whereabouts(error))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit: it would end this thread alone, and the main thread waits in C for ever.
        os._exit(0)
