"""The model package: the hand-over unit, and the checks it must pass before it is believed.

A package is a folder of files with a manifest that names each file's SHA-256. The SHA-256 of the
manifest's bytes is the package's own: whoever knows it knows every byte of the package.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quicksilver.contract import Contract, EndpointName, contract_field_errors
from quicksilver.errors import FieldError, InvalidPackage
from quicksilver.evaluator import Evaluator
from quicksilver.model_version import Sha256
from quicksilver.profile import ReferenceProfile

MANIFEST = "manifest.json"
MODEL = "model.txt"
CONTRACT = "contract.json"
GOLDEN = "golden.jsonl"
METRICS = "metrics.json"
REFERENCE = "reference.json"
MODEL_CARD = "model_card.md"

REQUIRED_FILES = frozenset({MODEL, CONTRACT, GOLDEN, METRICS, REFERENCE, MODEL_CARD})
MAX_CONTRIBUTION_DIFFERENCE = 1e-9
"""How far contributions may be from golden ones, which are LightGBM's own. Raw scores may not differ in a bit."""

MAX_PACKAGE_BYTES = 512 * 1024 * 1024


class Manifest(BaseModel):
    """What a package holds. ``files`` maps each file's name to its SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    fingerprint: Sha256
    files: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z_]+\.(txt|json|jsonl|md)$")], Sha256], Field(min_length=1)
    ]


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """A vector with the exact raw score and contributions it must give (the last one is the expected value)."""

    vector: tuple[float, ...]
    raw_score: float
    contributions: tuple[float, ...]

    def to_json(self) -> str:
        """One line. JSON has no NaN: missing is null. Floats are written so that they read back bit-equal."""
        vector = [None if math.isnan(value) else value for value in self.vector]
        content = {"vector": vector, "raw_score": self.raw_score, "contributions": self.contributions}
        return json.dumps(content, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> GoldenRow:
        content = json.loads(line)
        vector = tuple(math.nan if value is None else float(value) for value in content["vector"])
        contributions = tuple(float(value) for value in content["contributions"])
        return cls(vector, float(content["raw_score"]), contributions)


@dataclass(frozen=True)
class Package:
    """A package whose bytes are what its manifest says and whose contract is valid."""

    manifest: Manifest
    sha256: str
    files: Mapping[str, bytes]
    contract: Contract

    @property
    def model_text(self) -> bytes:
        return self.files[MODEL]

    @cached_property
    def golden_rows(self) -> tuple[GoldenRow, ...]:
        return tuple(_golden(number, line) for number, line in enumerate(self.files[GOLDEN].splitlines(), 1))

    @cached_property
    def reference(self) -> ReferenceProfile:
        return ReferenceProfile.from_json(self.files[REFERENCE])

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of the training run, by name. Raises ``InvalidPackage`` for anything else than numbers."""
        try:
            content = json.loads(self.files[METRICS])
            return {str(name): float(value) for name, value in content.items()}
        except (ValueError, TypeError, AttributeError):
            raise InvalidPackage(
                "The metrics are malformed.", [FieldError(METRICS, "must map names to numbers")]
            ) from None


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def seal(endpoint: str, fingerprint: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add the manifest to a package's files. Same files, same bytes, same SHA-256."""
    manifest = Manifest(
        endpoint=endpoint,
        fingerprint=fingerprint,
        files={name: sha256_hex(data) for name, data in sorted(files.items())},
    )
    text = json.dumps(manifest.model_dump(mode="json"), sort_keys=True, indent=2) + "\n"
    return {**files, MANIFEST: text.encode()}


def open_package(
    read: Callable[[str], bytes],
    expected_sha256: str | None = None,
    *,
    only: Collection[str] = (),
) -> Package:
    """Read a package through ``read(name)`` and verify every byte that was read.

    With ``only``, these files and the contract are read, and the rest is left where it is.

    Raises ``InvalidPackage`` naming the file that is missing, altered or malformed; ``read`` may
    raise its own error for a file that is not there.
    """
    manifest_bytes = read(MANIFEST)
    sha256 = sha256_hex(manifest_bytes)
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise _altered(MANIFEST)
    try:
        manifest = Manifest.model_validate_json(manifest_bytes)
    except ValidationError as error:
        raise InvalidPackage("The manifest is not valid.", contract_field_errors(error)) from None
    if missing := REQUIRED_FILES - manifest.files.keys():
        raise InvalidPackage(
            "The package is not complete.",
            [FieldError(name, "is not in the manifest") for name in sorted(missing)],
        )
    files = {MANIFEST: manifest_bytes}
    for name, digest in manifest.files.items():
        if only and name not in only and name != CONTRACT:
            continue
        files[name] = read(name)
        if sha256_hex(files[name]) != digest:
            raise _altered(name)
    contract = Contract.from_json(files[CONTRACT])
    if contract.fingerprint != manifest.fingerprint:
        raise InvalidPackage(
            "The manifest does not belong to the contract.",
            [FieldError("fingerprint", "is not that of contract.json")],
        )
    if contract.endpoint != manifest.endpoint:
        raise InvalidPackage(
            "The manifest does not belong to the contract.",
            [FieldError("endpoint", "is not that of contract.json")],
        )
    return Package(manifest, sha256, files, contract)


def read_contract(read: Callable[[str], bytes], fingerprint: str, *, of: str) -> Contract:
    """A package's contract without the rest of it, known by its fingerprint; ``of`` names the package in errors.

    Raises ``InvalidPackage`` or ``InvalidContract`` where it is another; ``read`` may raise its own error.
    """
    contract = Contract.from_json(read(CONTRACT))
    if contract.fingerprint != fingerprint:
        raise InvalidPackage(
            f"The package of {of} is altered.", [FieldError(CONTRACT, "is not what its fingerprint says")]
        )
    return contract


def check_model(package: Package, evaluator: Evaluator) -> None:
    """The model fits its contract, and each golden row gives its raw score bit for bit.

    Raises ``InvalidPackage`` naming the first feature or row that differs.
    """
    expected = package.contract.names
    check_features(expected, evaluator.feature_names)
    fallback = package.contract.fallback_score
    if fallback is not None and not evaluator.is_regression and not 0 <= fallback <= 1:
        raise InvalidPackage(
            "The contract does not fit the model.",
            [FieldError("fallback_score", "must be a probability, 0 to 1, for this objective")],
        )
    for number, row in enumerate(package.golden_rows, 1):
        if len(row.vector) != len(expected):
            raise InvalidPackage(
                "A golden row does not fit the contract.",
                [FieldError(f"{GOLDEN}:{number}", f"has {len(row.vector)} values, not {len(expected)}")],
            )
        raw_score = evaluator.raw_score(row.vector)
        if raw_score != row.raw_score:
            raise InvalidPackage(
                "The model does not give its golden rows.",
                [FieldError(f"{GOLDEN}:{number}", f"gives raw score {raw_score!r}, not {row.raw_score!r}")],
            )


def check_features(contract: tuple[str, ...], model: tuple[str, ...]) -> None:
    """The contract names the model's features in the model's order. Raises ``InvalidPackage`` saying where not."""
    errors = [
        FieldError(name, "is in the model and not in the contract") for name in model if name not in contract
    ]
    errors += [
        FieldError(name, "is in the contract and not in the model") for name in contract if name not in model
    ]
    if not errors:
        errors = [
            FieldError("features", f"feature {position} is {ours} in the contract and {theirs} in the model")
            for position, (ours, theirs) in enumerate(zip(contract, model, strict=True), 1)
            if ours != theirs
        ][:1]
        if not errors:
            return
        what = "its features are in another order"
    else:
        what = f"the contract has {len(contract)} features and the model {len(model)}"
    raise InvalidPackage(f"The contract does not fit the model: {what}.", errors)


def _altered(name: str) -> InvalidPackage:
    return InvalidPackage(
        f"The package is altered: {name} is not what its SHA-256 says.",
        [FieldError(name, "has another SHA-256")],
    )


def _golden(number: int, line: bytes) -> GoldenRow:
    try:
        return GoldenRow.from_json(line)
    except (ValueError, KeyError, TypeError):
        raise InvalidPackage(
            "A golden row is malformed.", [FieldError(f"{GOLDEN}:{number}", "is not a golden row")]
        ) from None
