"""Under which licence a package comes, by its own metadata, and whether we may use it. Nothing is asked of a network."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from license_expression import AND, OR, ExpressionError, LicenseExpression, Licensing, get_spdx_licensing
from packaging.utils import canonicalize_name

POLICY = Path(__file__).with_name("licences.toml")

_CLASSIFIER = "License :: OSI Approved :: "


class UnknownLicence(Exception):
    """Nobody can say under which licence a package comes; the message is one sentence that names it."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """``names`` puts packages' own words into SPDX, ``read`` says what a person has read in a package's licence file."""

    ships: frozenset[str]
    tools: frozenset[str]
    names: Mapping[str, str]
    read: Mapping[str, str]

    @classmethod
    def from_toml(cls, text: str) -> Policy:
        content = tomllib.loads(text)
        ships = frozenset(content["ships"])
        return cls(
            ships=ships,
            tools=ships | frozenset(content["tools"]),
            names=content["names"],
            read=content["read"],
        )


def installed(folders: Iterable[Path]) -> dict[tuple[str, str], Distribution]:
    """Every package whose metadata lie in one of the folders, by canonical name and version; the first folder counts."""
    found: dict[tuple[str, str], Distribution] = {}
    for folder in folders:
        for item in distributions(path=[str(folder)]):
            found.setdefault((canonicalize_name(item.metadata["Name"]), item.version), item)
    return found


def licence_of(package: Distribution, policy: Policy) -> str:
    """The SPDX expression of a package. Raises ``UnknownLicence``.

    What a package says in an expression (PEP 639) counts before its classifiers, and these before the old free field, which
    may hold anything. Several classifiers do not say whether one may choose, so all of them count.
    """
    name = canonicalize_name(package.metadata["Name"])
    if name in policy.read:
        return policy.read[name]
    classifiers = [
        line.removeprefix(_CLASSIFIER)
        for line in package.metadata.get_all("Classifier", [])
        if line.startswith(_CLASSIFIER)
    ]
    for said in (
        "".join(package.metadata.get_all("License-Expression", [])),
        " AND ".join(sorted({policy.names.get(word, word) for word in classifiers})),
        "".join(package.metadata.get_all("License", [])),
    ):
        expression = spdx(said, policy)
        if expression is not None:
            return expression
    raise UnknownLicence(f"{name} {package.version} does not say its licence in a way that can be read.")


def spdx(said: str, policy: Policy) -> str | None:
    """An SPDX expression as it is written in full, or ``None`` for words that are none."""
    try:
        parsed = _licensing(frozenset(policy.names.values())).parse(
            policy.names.get(said, said), validate=True, strict=True
        )
    except ExpressionError:
        return None
    return None if parsed is None else str(parsed)


def allowed(expression: str, licences: frozenset[str]) -> bool:
    """Whether a package under ``expression`` may be used where ``licences`` may."""
    parsed = _licensing(licences).parse(expression)
    return parsed is not None and _holds(parsed, licences)


def _holds(parsed: LicenseExpression, licences: frozenset[str]) -> bool:
    if isinstance(parsed, AND):
        return all(_holds(part, licences) for part in parsed.args)
    if isinstance(parsed, OR):
        return any(_holds(part, licences) for part in parsed.args)
    return str(parsed) in licences


@cache
def _licensing(own: frozenset[str]) -> Licensing:
    """SPDX's list, and names of our own that begin with ``LicenseRef-``."""
    known = get_spdx_licensing().known_symbols
    ours = [name for name in sorted(own) if name.startswith("LicenseRef-") and name not in known]
    return Licensing([*known.values(), *ours])


def refusals(found: Mapping[str, str], licences: frozenset[str]) -> Iterator[str]:
    """A sentence for each package, by its name, whose expression ``licences`` does not allow."""
    for package, expression in sorted(found.items()):
        if not allowed(expression, licences):
            yield f"{package} is under {expression}, which delivery/licences.toml does not allow there."
