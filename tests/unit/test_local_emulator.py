"""The control of the emulator's process, with a small server in the emulator's place."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from quicksilver.errors import Unavailable
from quicksilver.local import processes
from quicksilver.local.emulator import Emulator

# Answers health, keeps a worker in its group and a file in its TMPDIR, as the emulator does.
SERVER = """
import http.server, json, os, pathlib, signal, subprocess, sys
mode = sys.argv[1]
if mode == "broken":
    sys.exit("cannot read the frobnicator")
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
facts = {"environment": dict(os.environ), "worker": worker.pid}
pathlib.Path(os.environ["TMPDIR"], "facts.json").write_text(json.dumps(facts))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if mode != "silent" and self.path == "/_ministack/health" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"])), Health).serve_forever()
"""

Make = Callable[..., Emulator]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Emulator] = []

    def emulator(mode: str = "healthy", *, folder: str = "run", port: int | None = None) -> Emulator:
        command = (sys.executable, "-c", SERVER, mode)
        installed = tmp_path / "installed"
        made.append(
            Emulator(tmp_path / folder, port=port or free_port(), command=command, installed=installed)
        )
        return made[-1]

    yield emulator
    for one in made:
        one.stop(grace_seconds=0.1)


def facts(emulator: Emulator) -> dict[str, object]:
    content: dict[str, object] = json.loads((emulator.temporary / "facts.json").read_text())
    return content


def pid_of(emulator: Emulator) -> int:
    pid = emulator.status().pid
    assert pid is not None
    return pid


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 10 s"
        Event().wait(0.01)


def test_a_started_emulator_answers_and_a_stopped_one_leaves_no_process_and_no_file(make: Make) -> None:
    emulator = make()
    emulator.start()
    status = emulator.status()
    assert status.running
    assert status.healthy
    worker = facts(emulator)["worker"]
    assert isinstance(worker, int)

    assert emulator.stop() is True

    assert processes.group_is_empty(status.pid or 0)
    assert processes.birth_of(worker) is None
    assert sorted(path.name for path in emulator.run_folder.iterdir()) == ["emulator.log"]
    assert not emulator.status().running
    assert emulator.stop() is False


def test_starting_again_leaves_the_running_emulator_alone(make: Make) -> None:
    emulator = make()
    emulator.start()
    first = pid_of(emulator)
    emulator.start()
    assert pid_of(emulator) == first


def test_starting_again_after_a_new_installation_starts_the_new_one(make: Make, tmp_path: Path) -> None:
    emulator = make()
    emulator.start()
    before, started = pid_of(emulator), time.time()
    (tmp_path / "installed").touch()
    os.utime(tmp_path / "installed", (started - 60, started - 60))
    emulator.start()
    assert pid_of(emulator) == before
    os.utime(tmp_path / "installed", (started + 60, started + 60))
    emulator.start()
    assert pid_of(emulator) != before


def test_an_emulator_is_found_again_with_its_port_by_its_folder(make: Make) -> None:
    emulator = make()
    emulator.start()
    found = Emulator(emulator.run_folder)
    assert found.port == emulator.port
    assert found.status().healthy


def test_two_emulators_run_side_by_side(make: Make) -> None:
    one, other = make(folder="one"), make(folder="other")
    one.start()
    other.start()
    one.stop()
    assert not one.status().running
    assert other.status().healthy


def test_a_taken_port_is_named_with_what_to_do(make: Make) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        emulator = make(port=port)
        with pytest.raises(Unavailable, match=f"Port {port} of 127.0.0.1 cannot be used") as raised:
            emulator.start()
    assert "--port" in raised.value.__notes__[0]
    assert not emulator.temporary.exists()


def test_an_emulator_that_dies_at_start_shows_the_end_of_its_log(make: Make) -> None:
    emulator = make("broken")
    with pytest.raises(Unavailable, match=r"died at once \(exit code 1\)") as raised:
        emulator.start()
    assert "cannot read the frobnicator" in raised.value.__notes__[-1]
    assert not emulator.temporary.exists()
    assert not emulator.status().running


def test_an_emulator_that_does_not_answer_in_time_is_ended(make: Make) -> None:
    emulator = make("silent")
    with pytest.raises(Unavailable, match="does not answer"):
        emulator.start(timeout_seconds=0.5)
    assert not emulator.status().running
    assert not emulator.temporary.exists()


def test_an_emulator_that_ignores_the_request_to_stop_is_killed(make: Make) -> None:
    emulator = make("stubborn")
    emulator.start()
    pid = pid_of(emulator)
    assert emulator.stop(grace_seconds=0.2) is True
    assert processes.group_is_empty(pid)


def test_a_worker_that_outlives_a_killed_emulator_is_ended_by_stop(make: Make) -> None:
    emulator = make()
    emulator.start()
    pid, worker = pid_of(emulator), facts(emulator)["worker"]
    assert isinstance(worker, int)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes.birth_of(pid) is None)
    assert processes.birth_of(worker) is not None

    assert emulator.stop() is False

    assert processes.birth_of(worker) is None


@pytest.mark.skipif(sys.platform != "linux", reason="without /proc a process is told by its id alone")
def test_a_stranger_that_got_the_emulators_process_id_is_left_alone(make: Make) -> None:
    emulator = make()
    emulator.run_folder.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
    ) as stranger:
        state = {
            "pid": stranger.pid,
            "birth": "another",
            "port": emulator.port,
            "started_at": "2026-01-01T00:00:00.000Z",
        }
        (emulator.run_folder / "emulator.json").write_text(json.dumps(state))
        try:
            assert not emulator.status().running
            assert emulator.stop() is False
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_the_emulator_sees_nothing_of_the_persons_own_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("QUICKSILVER_STAGE", "prod")
    emulator = make()
    emulator.start()
    environment = facts(emulator)["environment"]
    assert isinstance(environment, dict)
    assert "AWS_PROFILE" not in environment
    assert "QUICKSILVER_STAGE" not in environment
    assert environment["BIND_HOST"] == "127.0.0.1"
    outside = {
        name: value
        for name, value in environment.items()
        if name in ("HOME", "TMPDIR", "STATE_DIR", "S3_DATA_DIR")
        and not value.startswith(str(emulator.temporary))
    }
    assert outside == {}


def test_aws_clients_given_the_emulators_environment_cannot_reach_a_real_account(make: Make) -> None:
    environment = make(port=4600).aws_environment
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4600"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
