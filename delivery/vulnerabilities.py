"""Known vulnerabilities of everything the locks pin, for every platform: Python's by pip-audit, npm's by npm itself.

Both ask a database over the network. Where it does not answer nothing is known, and that is a failure and never a pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery.locks import ROOT, Pin, pins, python_locks

SCRIPTS = Path(sys.executable).parent


class NotAsked(Exception):
    """Nothing is known, for a database did not answer; the message is one sentence."""


@dataclass(frozen=True, kw_only=True, order=True)
class Vulnerability:
    package: str
    version: str
    id: str
    fixed_in: str = ""

    def __str__(self) -> str:
        remedy = f"fixed in {self.fixed_in}" if self.fixed_in else "not fixed yet"
        return f"{self.package} {self.version} has {self.id}, {remedy}."


def of_python(locks: Iterable[Path] | None = None, *, asking: Sequence[str] = ()) -> list[Vulnerability]:
    """What the OSV database knows of each version that any lock pins. ``asking`` are more words for pip-audit.

    Raises ``NotAsked``.
    """
    found: set[Vulnerability] = set()
    for lines in _batches(pin for lock in locks or python_locks() for pin in pins(lock)):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "requirements.txt")
            file.write_text("\n".join(lines), encoding="utf-8")
            found |= set(_pip_audit(file, asking))
    return sorted(found)


def _batches(wanted: Iterable[Pin]) -> Iterator[list[str]]:
    """Requirements without markers, in files that name no package twice: pip-audit leaves out what is not for this platform,
    and takes one version of a package at a time."""
    versions: dict[str, dict[str, str]] = {}
    for pin in wanted:
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in pin.sha256)
        versions.setdefault(pin.name, {})[pin.version] = f"{pin.name}=={pin.version} {hashes}"
    deepest = max((len(each) for each in versions.values()), default=0)
    for depth in range(deepest):
        yield [list(each.values())[depth] for each in versions.values() if depth < len(each)]


def _pip_audit(file: Path, asking: Sequence[str]) -> Iterator[Vulnerability]:
    how = ["--disable-pip", "--require-hashes", "--strict", "--vulnerability-service", "osv"]
    run = _run(
        [
            str(SCRIPTS / "pip-audit"),
            *how,
            "--progress-spinner",
            "off",
            "--format",
            "json",
            *asking,
            "-r",
            str(file),
        ]
    )
    answer = _json(run.stdout)
    if answer is None or "dependencies" not in answer:
        raise NotAsked(
            f"No vulnerability of a Python package is known, for the database did not answer: {_last(run.stderr)}"
        )
    for package in answer["dependencies"]:
        for known in package["vulns"]:
            yield Vulnerability(
                package=package["name"],
                version=package["version"],
                id=known["id"],
                fixed_in=", ".join(known["fix_versions"]),
            )


def of_npm(root: Path = ROOT, *, asking: Sequence[str] = ()) -> list[Vulnerability]:
    """What the npm registry knows of each package in ``package-lock.json``. Raises ``NotAsked``."""
    run = _run([str(SCRIPTS / "npm"), "audit", "--package-lock-only", "--json", *asking], cwd=root)
    answer = _json(run.stdout)
    if answer is None or "vulnerabilities" not in answer:
        raise NotAsked(
            f"No vulnerability of an npm package is known, for the registry did not answer: {_last(run.stderr)}"
        )
    locked = json.loads((root / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return sorted(
        {
            Vulnerability(package=name, version=locked[node]["version"], id=known["url"].rpartition("/")[2])
            for name, package in answer["vulnerabilities"].items()
            for known in package["via"]
            # A word is a package that this one needs: that one's own entry says what it has.
            if isinstance(known, dict)
            for node in package["nodes"]
        }
    )


def _run(words: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


def _json(text: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing."
