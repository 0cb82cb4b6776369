"""The bill of materials of what ships, as CycloneDX: every package of the layers, and what builds them.

From the locks, whose hashes say which files may be installed, and the metadata that a built layer keeps of its packages. The
same locks and commit give the same bytes, so that what was attested can be made again and compared.

    python -m delivery.sbom --out build/sbom.cdx.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import Distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from delivery.licences import POLICY, Policy, UnknownLicence, installed, licence_of
from delivery.locks import ROOT, NpmPin, Pin, npm_pins, pins
from layers.byte_code import LAMBDA_PYTHON
from layers.native_libraries import OPENMP

SHIPPED = ("runtime", "lightgbm", "analysis")
TARGET = "arm64"
LAMBDA = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{LAMBDA_PYTHON}.0",
    "python_version": LAMBDA_PYTHON,
    "sys_platform": "linux",
}
"""A function's environment, in PEP 508's names: it picks among the lines of a universal lock."""

# Of scikit-learn's wheel only this ships. GCC's run time libraries have their own exception:
# https://www.gnu.org/licenses/gcc-exception-3.1.html
OPENMP_CARRIER = "scikit-learn"
OPENMP_LICENCE = "GPL-3.0-or-later WITH GCC-exception-3.1"

_SPACE = uuid.UUID("5f0c7a52-4b1c-5a5e-9a57-0f6f5f1f7a11")


class NoBill(Exception):
    """The bill of materials cannot be written; the message is one sentence."""


def bill(root: Path = ROOT) -> Bom:
    """Raises ``NoBill`` for a package whose licence is unknown, and outside a checkout."""
    policy = Policy.from_toml(POLICY.read_text(encoding="utf-8"))
    components = [*_shipped(root, policy), *_builders(root)]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commit, moment = _commit(root)
    product = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        licenses=[LicenseFactory().make_from_string(project["license"])],
        bom_ref=BomRef(project["name"]),
        properties=[Property(name="quicksilver:commit", value=commit)],
    )
    found = Bom(
        components=components,
        metadata=BomMetaData(component=product, timestamp=moment),
        serial_number=uuid.uuid5(_SPACE, commit),
    )
    found.register_dependency(product, components)
    return found


def written(found: Bom) -> str:
    """CycloneDX 1.6 as JSON. Raises ``NoBill`` where it does not fit CycloneDX's own schema."""
    text = JsonV1Dot6(found).output_as_string(indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise NoBill(f"The bill of materials does not fit CycloneDX's schema: {wrong.data}.")
    return text + "\n"


def _shipped(root: Path, policy: Policy) -> Iterator[Component]:
    layers = root / "layers"
    # A layer's own metadata first: this environment may have another version, for another Python.
    here = [layers / ".build" / TARGET / layer / "python" for layer in SHIPPED]
    packages = installed([*(folder for folder in here if folder.is_dir()), *map(Path, sys.path)])
    carried: dict[tuple[str, str], tuple[Pin, list[str]]] = {}
    for layer in SHIPPED:
        for pin in pins(layers / layer / "requirements.txt"):
            if pin.applies(LAMBDA):
                carried.setdefault((pin.name, pin.version), (pin, []))[1].append(layer)
    for (name, version), (pin, in_layers) in sorted(carried.items()):
        if name == OPENMP_CARRIER:
            yield _openmp(pin)
        else:
            yield _library(pin, _licence(packages, name, version, policy), in_layers)


def _licence(packages: dict[tuple[str, str], Distribution], name: str, version: str, policy: Policy) -> str:
    package = packages.get((name, version))
    if package is None:
        raise NoBill(
            f"{name} {version} is installed in no layer and not here; build the layers with: make layers"
        )
    try:
        return licence_of(package, policy)
    except UnknownLicence as error:
        raise NoBill(str(error)) from None


def _library(pin: Pin, licence: str, in_layers: Iterable[str]) -> Component:
    return _component(
        PackageURL("pypi", None, pin.name, pin.version),
        licence,
        pin.sha256,
        scope=ComponentScope.REQUIRED,
        properties=[Property(name="quicksilver:layer", value=layer) for layer in in_layers],
    )


def _openmp(pin: Pin) -> Component:
    carrier = PackageURL("pypi", None, pin.name, pin.version)
    return _component(
        PackageURL("generic", None, OPENMP.name, None, None, f"{pin.name}@{pin.version}"),
        OPENMP_LICENCE,
        pin.sha256,
        scope=ComponentScope.REQUIRED,
        properties=[
            Property(name="quicksilver:layer", value="lightgbm"),
            Property(name="quicksilver:carried-by", value=carrier.to_string()),
        ],
    )


def _builders(root: Path) -> Iterator[Component]:
    """What compiles and deploys, and leaves nothing of itself in what ships."""
    for pin in pins(root / "requirements" / "zig.txt"):
        yield _component(
            PackageURL("pypi", None, pin.name, pin.version), None, pin.sha256, scope=ComponentScope.EXCLUDED
        )
    for npm in npm_pins(root / "package-lock.json"):
        yield _npm(npm)


def _npm(pin: NpmPin) -> Component:
    namespace, _, name = pin.name.rpartition("/")
    return _component(
        PackageURL("npm", namespace or None, name, pin.version),
        pin.licence,
        [pin.sha512],
        algorithm=HashAlgorithm.SHA_512,
        scope=ComponentScope.EXCLUDED,
    )


def _component(
    purl: PackageURL,
    licence: str | None,
    hashes: Iterable[str],
    *,
    scope: ComponentScope,
    algorithm: HashAlgorithm = HashAlgorithm.SHA_256,
    properties: Iterable[Property] = (),
) -> Component:
    """The hashes are those of the files a lock accepts for it, one for each platform: of the distribution, not of what is in it."""
    return Component(
        name=purl.name,
        group=purl.namespace,
        version=purl.version,
        type=ComponentType.LIBRARY,
        scope=scope,
        purl=purl,
        bom_ref=BomRef(purl.to_string()),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        properties=properties,
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(purl.to_string()),
                hashes=[HashType(alg=algorithm, content=digest) for digest in hashes],
            )
        ],
    )


def _commit(root: Path) -> tuple[str, datetime]:
    """The commit that is checked out, and when it was made."""
    try:
        run = subprocess.run(
            ["git", "log", "-1", "--format=%H %cI"],  # noqa: S607
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise NoBill("A bill of materials is of a commit, and git finds none in this folder.") from None
    commit, moment = run.stdout.split()
    return commit, datetime.fromisoformat(moment)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="delivery.sbom", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom.cdx.json")
    out: Path = parser.parse_args(arguments).out
    try:
        text = written(bill())
    except NoBill as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    scopes = [component.get("scope") for component in json.loads(text)["components"]]
    print(f"{out}: {scopes.count('required')} packages that ship, {scopes.count('excluded')} that build.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
