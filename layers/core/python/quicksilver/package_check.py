"""Everything that can be checked of a package on its own, each part explained, none hiding another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from quicksilver.errors import FieldError, InvalidInput, QuicksilverError
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.policy import refuse_protected_inputs
from quicksilver.package import Package, check_features, check_model
from quicksilver.package_files import read_package
from quicksilver.profile import check_profile


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of a package and what was found. ``fields`` names each thing that is wrong."""

    part: str
    sound: bool
    sentence: str
    fields: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True)
class PackageCheck:
    """``package`` is ``None`` where its bytes could not be believed at all."""

    package: Package | None
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return all(finding.sound for finding in self.findings)


def check_package(path: Path, protected: Iterable[str] = ()) -> PackageCheck:
    """Check a package folder or .tar: files and checksums, contract, model, golden rows, reference profile, metrics.

    ``protected`` are names that may not be inputs, beside those the contract itself declares.
    """
    packages: list[Package] = []
    files = _finding(
        "files", lambda: f"{len(_kept(packages, read_package(path)).files)} files are what their SHA-256 says"
    )
    if not packages:
        return PackageCheck(None, (files,))
    return PackageCheck(packages[0], (files, *_parts(packages[0], tuple(protected))))


def _parts(package: Package, protected: tuple[str, ...]) -> list[Finding]:
    contract = package.contract

    def inputs() -> str:
        refuse_protected_inputs(contract, protected)
        return f"{len(contract.features)} features, none of them a protected attribute"

    def model() -> str:
        check_features(contract.names, LightGBMEvaluator(package.model_text).feature_names)
        return "LightGBM loads it, and its features are the contract's, in order"

    def golden() -> str:
        check_model(package, LightGBMEvaluator(package.model_text))
        return f"{len(package.golden_rows)} golden rows are bit-equal"

    def reference() -> str:
        check_profile(package.reference, contract)
        return f"{package.reference.rows} rows, every feature profiled"

    def metrics() -> str:
        return f"{len(package.metrics)} metrics"

    findings = [_finding("contract", inputs), _finding("model", model)]
    # Without a model that loads and fits, every golden row would only say the same thing again.
    if findings[-1].sound:
        findings.append(_finding("golden rows", golden))
    return [*findings, _finding("reference profile", reference), _finding("metrics", metrics)]


def _kept(packages: list[Package], package: Package) -> Package:
    packages.append(package)
    return package


def _finding(part: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, check())
    except QuicksilverError as error:
        return Finding(part, False, str(error), error.fields if isinstance(error, InvalidInput) else ())
