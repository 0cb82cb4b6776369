"""The emulator's process: start it, ask how it is, stop it and leave nothing behind.

It listens on 127.0.0.1 only, forgets everything when it stops, and keeps its temporary files (unpacked
layers of Lambda workers among them) in a private folder that ``stop`` removes.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from quicksilver.errors import QuicksilverError, Unavailable
from quicksilver.local import DEFAULT_PORT, checkout, default_run_folder, processes

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "000000000000"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}

_HEALTH = "/_ministack/health"
_LOG_LINES_SHOWN = 15

Progress = Callable[[str], None]


def silent(step: str) -> None:
    """The progress of somebody who does not want to hear."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the emulator is. ``url`` answers only while ``healthy``; ``started_at`` is UTC."""

    running: bool
    healthy: bool
    url: str
    log: Path
    pid: int | None = None
    started_at: str | None = None


@dataclass(frozen=True, slots=True)
class _Started:
    """What ``emulator.json`` remembers of the process. ``birth`` guards against a reused process id."""

    pid: int
    birth: str
    port: int
    started_at: str


class Emulator:
    """One emulator, told from others by its run folder and its port."""

    def __init__(
        self,
        run_folder: Path | None = None,
        *,
        port: int | None = None,
        command: Sequence[str] | None = None,
        installed: Path | None = None,
        functions_url: str | None = None,
    ) -> None:
        """``port``: by default that of the emulator already running from the folder, else 4566.

        ``installed`` is the file that set-up touches when it installs what the emulator runs on. ``functions_url`` is where
        Lambda functions find AWS: the emulator itself, unless somebody stands between.
        """
        self.run_folder = (run_folder or default_run_folder()).resolve()
        self.log = self.run_folder / "emulator.log"
        self.temporary = self.run_folder / "tmp"
        self._state_file = self.run_folder / "emulator.json"
        self._command = tuple(command) if command else None
        self._installed = installed or checkout() / ".local" / "emulator" / ".ready"
        self._functions_url = functions_url
        started = self._started()
        self.port = port or (started.port if started else DEFAULT_PORT)

    @property
    def url(self) -> str:
        """The endpoint for every AWS service."""
        return f"http://{HOST}:{self.port}"

    @property
    def aws_environment(self) -> dict[str, str]:
        """What a process needs in its environment to reach the emulator, and never the real AWS."""
        return {
            **CREDENTIALS,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A profile or an endpoint of the person's own must not win.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def status(self) -> Status:
        """How the emulator of this folder is now."""
        started = self._started()
        if started is None:
            return Status(running=False, healthy=False, url=self.url, log=self.log)
        url = f"http://{HOST}:{started.port}"
        return Status(True, _is_healthy(started.port), url, self.log, started.pid, started.started_at)

    def start(self, progress: Progress = silent, *, timeout_seconds: float = 60) -> None:
        """Start it and wait until it answers; one that already answers is left as it is.

        Raises ``Unavailable``, with the last lines of the log, when it cannot be started.
        """
        started = self._started()
        if started is not None:
            if started.port == self.port and _is_healthy(self.port) and not self._is_outdated(started):
                progress(f"the local AWS is already at {self.url}")
                return
            self.stop()
        # The last threads of one that was just stopped may hold its port for a moment longer than it lives.
        self._require_free_port(patience_seconds=5 if started else 0)
        command = self._command or _installed_command()
        self._discard()
        self.temporary.mkdir(parents=True)
        progress("starting the local AWS")
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.temporary,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Lambda workers join it, and Ctrl-C in this terminal does not.
                start_new_session=True,
            )
        self._remember(process.pid)
        self._wait_until_healthy(process, timeout_seconds)
        progress(f"the local AWS is at {self.url}")

    def stop(self, *, grace_seconds: float = 10) -> bool:
        """Stop it with its workers and remove its temporary files; the log stays.

        Returns whether it was running. Raises ``Unavailable`` if a process survives.
        """
        started = self._started()
        # Even if the emulator itself was killed, workers of its group may live on. While they do, the
        # kernel gives the group's number to nobody else; once it has, it is none of our business.
        remembered = self._remembered()
        ours = remembered is not None and processes.birth_of(remembered.pid) in (remembered.birth, None)
        if ours and remembered and not processes.end_group(remembered.pid, grace_seconds=grace_seconds):
            raise _unavailable(
                "The local AWS does not stop.", f"End its process group by hand: kill -9 -- -{remembered.pid}"
            )
        self._discard()
        return started is not None

    def _environment(self) -> dict[str, str]:
        """A small one of its own: what the person has set must not reach the Lambda workers."""
        home = self.temporary
        return {
            **CREDENTIALS,
            **({"AWS_ENDPOINT_URL": self._functions_url} if self._functions_url else {}),
            "PATH": os.defpath,
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.temporary),
            "STATE_DIR": str(self.temporary / "state"),
            "S3_DATA_DIR": str(self.temporary / "s3"),
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            # Listeners of services that are not used here, on ports that might be.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # It removes containers that look like its own; there are none, so it finds no daemon.
            "DOCKER_HOST": f"unix://{self.temporary / 'no-docker'}",
        }

    def _remembered(self) -> _Started | None:
        try:
            return _Started(**json.loads(self._state_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _started(self) -> _Started | None:
        """The process we started, if it is still running and still that process."""
        started = self._remembered()
        return started if started and processes.birth_of(started.pid) == started.birth else None

    def _is_outdated(self, started: _Started) -> bool:
        """Whether what it runs on has been installed anew since it was started."""
        ready = self._installed
        if not ready.exists():
            return False
        installed_at = datetime.fromtimestamp(ready.stat().st_mtime, UTC)
        return installed_at > datetime.fromisoformat(started.started_at)

    def _remember(self, pid: int) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # A process that died at once has no birth; the wait that follows says why it died.
        started = _Started(pid, processes.birth_of(pid) or "", self.port, now)
        draft = self._state_file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(started)))
        draft.replace(self._state_file)

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not _is_healthy(self.port):
            died = process.poll() is not None
            if died or time.monotonic() > deadline:
                processes.end_group(process.pid, grace_seconds=1)
                self._discard()
                reason = f"died at once (exit code {process.returncode})" if died else "does not answer"
                raise _unavailable(f"The local AWS {reason}.", *self._last_log_lines())
            time.sleep(0.05)

    def _require_free_port(self, patience_seconds: float) -> None:
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, self.port))
            except OSError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise _unavailable(
                    f"Port {self.port} of {HOST} cannot be used: {error.strerror}.",
                    "Stop what uses it, or take another: quicksilver local up --port 4600",
                ) from None
            return

    def _last_log_lines(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        return [f"{self.log} ends with:", *(f"  {line}" for line in lines)]

    def _discard(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._state_file.unlink(missing_ok=True)


def _installed_command() -> tuple[str, ...]:
    python = checkout() / ".local" / "emulator" / "bin" / "python"
    if not python.exists():
        raise _unavailable("The local AWS is not installed.", "Install it: make setup")
    return (str(python), "-m", "ministack")


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", _HEALTH)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _unavailable(message: str, *notes: str) -> QuicksilverError:
    error = Unavailable(message)
    for note in notes:
        error.add_note(note)
    return error
