"""What benches put side by side: Quicksilver's score function, and the peers' servers, behind one small face.

Each runs in processes of its own on the contestants' core; this process, which calls them, and the stub of
AWS run on the other. Callers wait ``PAUSE_SECONDS`` after an answer, so that work left for after it does not
delay the next request: real callers are not in lock-step with the log.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from bench.execution_environment import ExecutionEnvironment
from bench.model import CACHE, BenchModel
from bench.peer_environments import ROOT, Environment, environment
from bench.processes import cores, family, on_core
from bench.runtime_api import RuntimeApi
from bench.stocking import FEATURES_TABLE, STREAM, function_environment
from bench.stub_aws import StubAws
from bench.traffic import Call

PAUSE_SECONDS = 0.004
READY_SECONDS = 60
KEPT_SECONDS = 2
"""How long a connection may lie idle; servers close theirs after 5 s (uvicorn) or more."""
LAYERS = ROOT / "layers" / ".build" / "local"


class Contestant(Protocol):
    """A server that scores. ``pids`` are its processes."""

    name: str
    pids: list[int]

    def call(self, call: Call, *, explain: bool) -> tuple[float, Any]:
        """Score once: what the caller waited, in us, and the answer's content. Raises ``NoAnswer``."""
        ...


class NoAnswer(Exception):
    """A contestant that refused a request, failed, or did not start."""


def function_path() -> str:
    """PYTHONPATH as Lambda has it: the layers as they were built, and the core layer's source."""
    built = sorted(str(path) for path in LAYERS.glob("*/python"))
    return os.pathsep.join([*built, str(ROOT / "layers" / "core" / "python")])


def runtime_client(peer: str) -> tuple[str, ...]:
    """AWS's own runtime client, in an environment that holds what a function finds on Lambda and nothing else."""
    return (str(environment(peer).python), "-m", "awslambdaric")


class QuicksilverFunction:
    """The score function under AWS's runtime client and a Runtime API."""

    name = "Quicksilver"

    def __init__(self, aws: StubAws) -> None:
        self._aws = aws

    def __enter__(self) -> Self:
        self._api = RuntimeApi().start()
        settings = {**function_environment(self._aws), "PYTHONPATH": function_path()}
        self._environment = ExecutionEnvironment(
            self._api, environment=settings, command=runtime_client("lambda")
        )
        with on_core(cores()[0]):
            self._environment.start()
        self.pids = family(self._environment.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._environment.stop()
        self._api.stop()

    def call(self, call: Call, *, explain: bool) -> tuple[float, Any]:
        result = self._api.invoke((call if explain else call.score_only()).event)
        if result.failed or result.body["statusCode"] != 200:
            raise NoAnswer(f"{result.body}\n{self._environment.output[-2_000:]}")
        return result.response_us, json.loads(result.body["body"])


class HttpPeer:
    """A peer's server on loopback, asked over one kept connection."""

    def __init__(self, name: str, command: list[str], variables: Mapping[str, str], port: int) -> None:
        self.name = name
        self._command = command
        self._variables = variables
        self._port = port
        self._answered = 0.0
        self.path, self.ready_path = "/score", "/ready"

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        with on_core(cores()[0]):
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT / "bench" / "peer_apps",
                env={"PATH": os.environ["PATH"], "HOME": str(ROOT / ".local" / "home"), **self._variables},
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        self.pids = family(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        for pid in reversed(family(self._process.pid)):
            if pid != self._process.pid:
                os.kill(pid, 9)
        self._process.kill()
        self._process.wait()
        self._output.close()

    def call(self, call: Call, *, explain: bool) -> tuple[float, Any]:
        body, query = self.request(call, explain=explain)
        if time.monotonic() - self._answered > KEPT_SECONDS:
            self._connection.close()  # the next request opens it anew
            self._connection.connect()
        started = time.perf_counter_ns()
        self._connection.request("POST", self.path + query, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        waited = (time.perf_counter_ns() - started) / 1_000
        self._answered = time.monotonic()
        if answer.status != 200:
            raise NoAnswer(f"{self.name}: {answer.status} {content[:300]!r}\n{self.output()}")
        return waited, self.decision(json.loads(content))

    def request(self, call: Call, *, explain: bool) -> tuple[bytes, str]:
        """Body and query string."""
        return call.body.encode(), "" if explain else "?reasons=none"

    def decision(self, answer: Any) -> Any:
        return answer

    def output(self) -> str:
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), 3_000, max(0, size - 3_000)).decode(errors="replace")

    def _wait_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                self._connection.request("GET", self.ready_path)
                answer = self._connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if answer.status == 200:
                return
            time.sleep(0.05)
        raise NoAnswer(f"{self.name} did not start:\n{self.output()}")


class BarePeer(HttpPeer):
    """FastAPI spared both calls to AWS: all features come in the body, and the log is a line."""

    def request(self, call: Call, *, explain: bool) -> tuple[bytes, str]:
        return call.whole_body.encode(), "" if explain else "?reasons=none"


class BentoPeer(HttpPeer):
    """BentoML takes arguments as members of the body, and is ready at ``/readyz``."""

    def __init__(self, name: str, command: list[str], variables: Mapping[str, str], port: int) -> None:
        super().__init__(name, command, variables, port)
        self.ready_path = "/readyz"

    def request(self, call: Call, *, explain: bool) -> tuple[bytes, str]:
        if explain:
            return call.body.encode(), ""
        return json.dumps({**json.loads(call.body), "reasons": "none"}).encode(), ""


class MlServerPeer(HttpPeer):
    """MLServer speaks the Open Inference Protocol v2: the body is one bytes tensor."""

    def __init__(self, name: str, command: list[str], variables: Mapping[str, str], port: int) -> None:
        super().__init__(name, command, variables, port)
        self.path, self.ready_path = "/v2/models/scoring/infer", "/v2/models/scoring/ready"

    def request(self, call: Call, *, explain: bool) -> tuple[bytes, str]:
        tensor = {"name": "request", "shape": [1, 1], "datatype": "BYTES", "data": [call.body]}
        content = {"inputs": [tensor], "parameters": {"reasons": "top" if explain else "none"}}
        return json.dumps(content).encode(), ""

    def decision(self, answer: Any) -> Any:
        return json.loads(answer["outputs"][0]["data"][0])


def http_peer(peer: str, aws: StubAws, model: BenchModel) -> HttpPeer:
    """A peer by its name, not yet started. Raises ``DoesNotInstall``."""
    kind, command = _COMMANDS[peer]
    env, port = environment(peer.partition("-")[0]), _free_port()
    folder = _model_folder(model)
    variables = {
        **aws.environment,
        "PEER_MODEL": str(folder / "model.txt"),
        "PEER_CONTRACT": str(folder / "contract.json"),
        "PEER_TABLE": FEATURES_TABLE,
        "PEER_STREAM": STREAM,
        # One thread, as LightGBM is told anyway; and nothing of theirs phones home.
        "OMP_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT / "bench" / "peer_apps"),
    }
    if kind is BarePeer:
        variables["PEER_BARE"] = "1"
    return kind(peer, command(env, port, folder), variables, port)


def _fastapi(env: Environment, port: int, _folder: Path) -> list[str]:
    return [
        env.program("uvicorn"), "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip


def _flask(env: Environment, port: int, _folder: Path) -> list[str]:
    # A sync worker closes each connection; with one thread of gthread it keeps them, as behind a load balancer.
    return [
        env.program("gunicorn"), "flask_app:app", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--worker-class", "gthread", "--threads", "1", "--keep-alive", "75", "--log-level", "warning",
        "--no-control-socket",
    ]  # fmt: skip


def _bentoml(env: Environment, port: int, _folder: Path) -> list[str]:
    return [
        env.program("bentoml"),
        "serve",
        "bentoml_app:Scoring",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]


def _mlserver(env: Environment, port: int, folder: Path) -> list[str]:
    place = folder / "mlserver"
    place.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": _free_port(), "metrics_port": _free_port(),
        "parallel_workers": 0, "debug": False, "use_structured_logging": False,
    }  # fmt: skip
    (place / "settings.json").write_text(json.dumps(settings))
    model = {"name": "scoring", "implementation": "mlserver_app.Scoring"}
    (place / "model-settings.json").write_text(json.dumps(model))
    return [env.program("mlserver"), "start", str(place)]


_COMMANDS: dict[str, tuple[type[HttpPeer], Any]] = {
    "fastapi": (HttpPeer, _fastapi),
    "fastapi-bare": (BarePeer, _fastapi),
    "flask": (HttpPeer, _flask),
    "bentoml": (BentoPeer, _bentoml),
    "mlserver": (MlServerPeer, _mlserver),
}
PEERS = ("fastapi", "flask", "mlserver", "bentoml")


def _model_folder(model: BenchModel) -> Path:
    """The package's files where the peers can read them."""
    folder = (CACHE / "peers").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in model.package.files.items():
        (folder / name).write_bytes(content)
    return folder


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
