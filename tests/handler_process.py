"""A handler as Lambda loads it: in a fresh process, with nothing but its environment, and AWS out of reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

ENVIRONMENT = {
    "QUICKSILVER_STAGE": "test",
    "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    # Nobody listens on port 9 (discard), so every AWS call is refused at once.
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
}

SCRIPT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
handler = importlib.import_module("handler")
context = type(
    "Context", (), {"function_version": "7", "get_remaining_time_in_millis": lambda _: 900_000}
)()
answers = [handler.lambda_handler(json.loads(event), context) for event in sys.argv[2:]]
print(json.dumps({"modules": sorted(sys.modules), "answers": answers}))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a process. Each line it logged is an object; ``answers`` are what the handler returned."""

    returncode: int
    output: str
    errors: str

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()[:-1]]

    @property
    def answers(self) -> list[Any]:
        return list(self._last["answers"])

    @property
    def modules(self) -> set[str]:
        return set(self._last["modules"])

    @property
    def packages(self) -> set[str]:
        return {name.partition(".")[0] for name in self.modules}

    @property
    def counted(self) -> dict[str, Any]:
        """The one line of metrics."""
        (line,) = [line for line in self.logged if "_aws" in line]
        return line

    @property
    def _last(self) -> dict[str, Any]:
        assert self.returncode == 0, self.errors
        last: dict[str, Any] = json.loads(self.output.splitlines()[-1])
        return last


@dataclass(frozen=True, slots=True)
class HandlerProcess:
    """The handler of a folder under ``lambdas/``, with its settings as environment variables."""

    folder: str
    settings: Mapping[str, str]

    def __call__(self, *events: object, **changes: str) -> Ran:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(ROOT / "lambdas" / self.folder),
            *map(json.dumps, events),
        ]
        environment = {**ENVIRONMENT, "POWERTOOLS_SERVICE_NAME": self.folder, **self.settings, **changes}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return Ran(done.returncode, done.stdout, done.stderr)
