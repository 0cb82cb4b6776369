"""One Lambda execution environment on this machine: the function in a process of its own, under AWS's own runtime client.

    with RuntimeApi() as api, ExecutionEnvironment(api, environment={...}) as function:
        result = api.invoke(event)

``awslambdaric`` is the client that Lambda's managed Python runtimes run. It has wheels for Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bench.runtime_api import RuntimeApi, RuntimeFailed

ROOT = Path(__file__).resolve().parents[1]

SHUTDOWN_SECONDS = 0.5
"""From SIGTERM to SIGKILL for a function with an internal extension. One without any is killed at once.

"Shutdown phase", https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""


class ExecutionEnvironment:
    """The handler in ``folder`` under a Runtime API. ``environment`` is the function's own.

    The machine's own environment and AWS configuration do not reach it.
    """

    def __init__(
        self,
        api: RuntimeApi,
        *,
        environment: Mapping[str, str],
        folder: Path = ROOT / "lambdas" / "score",
        memory_mib: int = 1_769,
        command: tuple[str, ...] = (sys.executable, "-m", "awslambdaric"),
    ) -> None:
        self._api = api
        self._folder = folder
        self._command = (*command, "handler.lambda_handler")
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_LAMBDA_FUNCTION_NAME": "score",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mib),
            "AWS_LAMBDA_LOG_FORMAT": "Text",
            "_HANDLER": "handler.lambda_handler",
            "LAMBDA_TASK_ROOT": str(folder),
            **environment,
        }
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 60) -> Self:
        """Start the function and wait for the end of its init phase."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env={**self._environment, "AWS_LAMBDA_RUNTIME_API": self._api.address},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_initialized(timeout)
        except Exception as error:
            error.add_note(self.output)
            self.stop()
            raise
        return self

    def shut_down(self) -> int:
        """End it as Lambda does: SIGTERM where it has an extension, and SIGKILL when its time is over.

        Returns the exit code; ``-SIGKILL`` where it had to be killed.
        """
        process = self._running()
        if self._api.extensions:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(SHUTDOWN_SECONDS)
        process.kill()
        return process.wait()

    def stop(self) -> None:
        """End it whatever it does."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def output(self) -> str:
        """What the function has written so far, to stdout and stderr."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._output.close()

    def _wait_initialized(self, timeout: float) -> None:
        give_up = time.monotonic() + timeout
        while True:
            try:
                return self._api.wait_frozen(0.5)
            except RuntimeFailed as error:
                code = self._running().poll()
                if code is not None or time.monotonic() > give_up:
                    error.add_note(f"exit code: {code}")
                    raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the function was not started")
        return self._process
