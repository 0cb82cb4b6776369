"""What the locks pin: packages of Python by name, version, hashes and where they apply; packages of npm with their licences."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One line of a lock. ``sha256`` are of every file that may be installed for it."""

    requirement: Requirement
    sha256: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        return specifier.version

    def applies(self, environment: Mapping[str, str] | None = None) -> bool:
        """Whether it is installed here, or in an environment given by the names of PEP 508."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(dict(environment) if environment else None)


@dataclass(frozen=True, kw_only=True)
class NpmPin:
    name: str
    version: str
    sha512: str
    licence: str | None


def python_locks(root: Path = ROOT) -> list[Path]:
    """Every lock of Python packages, those of layers included."""
    return sorted([*root.glob("requirements/**/*.txt"), *root.glob("layers/*/requirements.txt")])


def pins(lock: Path) -> list[Pin]:
    """Raises ``ValueError`` for a line that is no pin with its hashes."""
    logical = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    found = []
    for line in logical:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        pin = Pin(requirement=Requirement(text.partition(" --hash")[0]), sha256=tuple(_HASH.findall(text)))
        operators = [specifier.operator for specifier in pin.requirement.specifier]
        if operators != ["=="] or not pin.sha256:
            raise ValueError(
                f"{lock.name} does not pin {pin.requirement.name} to one version with its hashes."
            )
        found.append(pin)
    return found


def npm_pins(lock: Path) -> list[NpmPin]:
    """Raises ``ValueError`` for a package without its hash."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    found = []
    for path, facts in packages.items():
        if not path:
            continue
        name = path.rpartition("node_modules/")[2]
        algorithm, _, digest = facts.get("integrity", "").partition("-")
        if algorithm != "sha512":
            raise ValueError(f"{lock.name} does not pin {name} to its hash.")
        found.append(
            NpmPin(
                name=name,
                version=facts["version"],
                sha512=base64.b64decode(digest).hex(),
                licence=facts.get("license"),
            )
        )
    return found
