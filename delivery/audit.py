"""Whether we may use what we use: licences of every package, and known vulnerabilities of every pin.

    python -m delivery.audit licences
    python -m delivery.audit vulnerabilities

Exit code 0 where nothing is found, 1 where something is, 2 where it cannot be known.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from delivery.acceptance import FILE, NotReadable, findings, read
from delivery.licences import POLICY, Policy, UnknownLicence, installed, licence_of, refusals
from delivery.locks import ROOT, npm_pins, pins
from delivery.sbom import NoBill, bill
from delivery.vulnerabilities import NotAsked, of_npm, of_python

WORKED_WITH = ("bootstrap", "dev", "emulator", "node")
"""Locks of what is installed to work with. Peers are other servers, installed only to be measured against, and zig is in the
bill of materials with what ships."""


def licences(root: Path = ROOT) -> list[str]:
    """A sentence for each package that may not be used where it is, or whose licence nobody can tell. Asks no network.

    Raises ``NoBill`` where the layers are not built.
    """
    policy = Policy.from_toml(POLICY.read_text(encoding="utf-8"))
    shipped: dict[str, str] = {}
    tools: dict[str, str] = {}
    for component in bill(root).components:
        for licence in component.licenses:
            place = shipped if component.scope is not None and component.scope.value == "required" else tools
            place[f"{component.name} {component.version or ''}".strip()] = _text(licence)
    unknown = []
    here = installed(
        [*map(Path, sys.path), *(root / ".local" / "emulator").glob("lib/python*/site-packages")]
    )
    for lock in WORKED_WITH:
        for pin in pins(root / "requirements" / f"{lock}.txt"):
            package = here.get((pin.name, pin.version))
            if package is None:
                # Node is installed where the machine has none; the rest is for other platforms.
                if pin.applies() and lock != "node":
                    unknown.append(f"{pin.name} {pin.version} is not installed, so its licence is not known.")
                continue
            try:
                tools[f"{pin.name} {pin.version}"] = licence_of(package, policy)
            except UnknownLicence as error:
                unknown.append(str(error))
    tools |= {
        f"{pin.name} {pin.version}": pin.licence or "NONE" for pin in npm_pins(root / "package-lock.json")
    }
    return [*unknown, *refusals(shipped, policy.ships), *refusals(tools, policy.tools)]


def _text(licence: object) -> str:
    """A licence of a bill: an expression, an SPDX id, or a name of our own."""
    return str(
        getattr(licence, "value", None) or getattr(licence, "id", None) or getattr(licence, "name", None)
    )


def vulnerabilities() -> list[str]:
    """A sentence for each known vulnerability that nobody has accepted. Raises ``NotAsked`` and ``NotReadable``."""
    accepted = read(FILE.read_text(encoding="utf-8"))
    return list(findings([*of_python(), *of_npm()], accepted, datetime.now(UTC).date()))


PARTS: dict[str, Callable[[], Iterable[str]]] = {"licences": licences, "vulnerabilities": vulnerabilities}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="delivery.audit", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    part: str = parser.parse_args(arguments).part
    try:
        found = list(PARTS[part]())
    except (NoBill, NotAsked, NotReadable) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    for sentence in found:
        print(sentence)
    print(f"audit: {len(found) or 'no'} finding{'' if len(found) == 1 else 's'} on {part}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
