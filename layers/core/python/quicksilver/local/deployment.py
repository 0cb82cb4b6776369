"""The deployment of ``stage=local`` to an emulator, by the plain ``cdk`` command line.

It is the same app an engineer deploys to an account. ``cdk`` sees only the emulator: its environment is
made here, with the emulator's endpoint and credentials, and a home of its own inside the run folder.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from quicksilver.errors import Unavailable
from quicksilver.local import checkout
from quicksilver.local.emulator import ACCOUNT, REGION, Emulator, Progress, silent
from quicksilver.local.people import People

STAGE = "local"

Outputs = Mapping[str, Mapping[str, str]]
"""CloudFormation outputs: stack name -> output name -> value."""

_LINES_SHOWN = 20
_QUIET = ("--no-color", "--no-notices", "--no-version-reporting", "--ci")
_EVENT = re.compile(r"^(?P<stack>\S+) \|\s*(?P<done>\d+)/(?P<all>\d+) \|")
_MILESTONE = re.compile(r"^\W*(Synthesis time: .+|\S+: (?:creating|deploying|start: Publishing).*)$")


class Deployment:
    """Deploys the checkout's stacks to one emulator."""

    def __init__(
        self,
        emulator: Emulator,
        *,
        cdk: Sequence[str] | None = None,
        app: Path | None = None,
        people: People | None = None,
    ) -> None:
        """``app`` is the folder with ``cdk.json``, by default the checkout; ``cdk`` the command to run."""
        self._emulator = emulator
        self._people = people or People(emulator)
        self._app = app or checkout()
        self._cdk = tuple(cdk) if cdk else (str(checkout() / "node_modules" / ".bin" / "cdk"),)
        self._outputs = emulator.run_folder / "outputs.json"
        # In the folder that goes when the emulator stops, as what it stands for does.
        self._bootstrapped = emulator.temporary / "bootstrapped"
        self.log = emulator.run_folder / "deploy.log"

    def deploy(self, progress: Progress = silent) -> Outputs:
        """Deploy every stack, let people in, and return the stacks' outputs.

        Raises ``Unavailable`` when the emulator is not this folder's own (deploying to a stranger on
        the same port would replace its stacks), or when ``cdk`` fails, with its last lines.
        """
        status = self._emulator.status()
        if not status.healthy or status.url != self._emulator.url:
            error = Unavailable("The local AWS is not running.")
            error.add_note("Start it: quicksilver local up")
            raise error
        self._scratch.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        if not self._bootstrapped.exists():
            progress("bootstrapping CDK")
            # Outside the app's folder: inside it, bootstrap synthesizes the app first.
            self._run(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], cwd=self._scratch, progress=silent)
            self._bootstrapped.touch()
        progress("synthesizing the stacks")
        deploy = ["deploy", "--all", "--context", f"stage={STAGE}", "--require-approval", "never"]
        places = [
            "--output",
            str(self._emulator.run_folder / "cdk.out"),
            "--outputs-file",
            str(self._outputs),
        ]
        self._run([*deploy, "--progress", "events", *places], cwd=self._app, progress=progress)
        self._people.ensure()
        return self.outputs()

    def environment_of(self, person: str) -> dict[str, str]:
        """What reaches the deployed stage as ``ada`` or ``grace``. Raises ``NotFound`` for anybody else."""
        return self._people.environment_of(person)

    def outputs(self) -> Outputs:
        """The outputs of the last deployment to the running emulator; empty when there was none."""
        if not self._bootstrapped.exists() or not self._outputs.exists():
            return {}
        outputs: Outputs = json.loads(self._outputs.read_text())
        return outputs

    @property
    def _scratch(self) -> Path:
        return self._emulator.temporary / "cdk"

    def _environment(self) -> dict[str, str]:
        home = self._emulator.run_folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **self._emulator.aws_environment,
            # The environment's own python and node, whatever else the machine has.
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._scratch),
            # aws-cdk-lib and cdk keep caches under the home folder; this one is in the checkout.
            "HOME": str(home),
            "CDK_HOME": str(home / ".cdk"),
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(checkout() / ".local" / "jsii"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "1",
        }

    def _run(self, arguments: Sequence[str], *, cwd: Path, progress: Progress) -> None:
        command = [*self._cdk, *arguments, *_QUIET]
        last: deque[str] = deque(maxlen=_LINES_SHOWN)
        with (
            self.log.open("a") as log,
            self._start(command, cwd) as process,
        ):
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            for line in process.stdout:
                log.write(line)
                if line.strip():
                    last.append(line.rstrip())
                if step := _step(line):
                    progress(step)
        if process.returncode:
            error = Unavailable(f"cdk {arguments[0]} failed with exit code {process.returncode}.")
            error.add_note(f"{self.log} ends with:")
            for line in last:
                error.add_note(f"  {line}")
            raise error

    def _start(self, command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as reason:
            error = Unavailable(f"{reason.filename} cannot be started: {reason.strerror}.")
            error.add_note("Set up anew: make clean setup")
            raise error from None


def _step(line: str) -> str | None:
    """What a line of cdk's output tells a person who waits; ``None`` for most."""
    if event := _EVENT.match(line):
        return f"deploying {event['stack']}: {event['done']} of {event['all']} resources"
    milestone = _MILESTONE.match(line.rstrip())
    return milestone[1] if milestone else None
