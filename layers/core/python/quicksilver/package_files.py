"""Packages on disk: a folder or one .tar, and the evaluation rows beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from quicksilver.errors import FieldError, InvalidPackage, NotFound
from quicksilver.package import MANIFEST, MAX_PACKAGE_BYTES, Package, open_package
from quicksilver.tarball import read_tar, require_known_names, write_tar

TAR = ".tar"
EVALUATION = ".evaluation.parquet"


def write_package(package: Package, path: Path) -> None:
    """Write a package to an empty or new folder, or to a new ``.tar``: whole or not at all.

    Raises ``InvalidPackage`` where something is there already.
    """
    if path.suffix == TAR:
        write_tar(package.files, path)
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidPackage(f"The folder {path} is not empty.", [FieldError("path", "must be empty or new")])
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        draft.chmod(0o755)
        for name, data in package.files.items():
            (draft / name).write_bytes(data)
        # A rename takes the place of an empty folder, and of no other.
        draft.replace(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def evaluation_path(path: Path) -> Path:
    """Where the evaluation rows of a package lie: ``build/x.evaluation.parquet`` for ``build/x`` and ``build/x.tar``."""
    return path.with_name(path.name.removesuffix(TAR) + EVALUATION)


def write_handover(package: Package, evaluation: bytes, path: Path) -> Path:
    """Write a package and, beside it, its evaluation rows; returns where these are."""
    beside = evaluation_path(path)
    if beside.exists():
        raise InvalidPackage(f"The file {beside} exists.", [FieldError("path", "must be new")])
    write_package(package, path)
    beside.write_bytes(evaluation)
    return beside


def read_files(path: Path) -> Mapping[str, bytes]:
    """Every file of a package folder or .tar, by name, unverified. Raises as ``read_package`` does."""
    return read_tar(path) if path.is_file() else _read_folder(path)


def read_package(path: Path) -> Package:
    """Read a package from a folder or a .tar and verify every byte.

    Raises ``NotFound`` for a file that is not there, and ``InvalidPackage`` in one sentence for anything that is
    altered, too large, or not named in the manifest.
    """
    files = read_files(path)

    def read(name: str) -> bytes:
        try:
            return files[name]
        except KeyError:
            raise NotFound(f"The package {path} has no {name}.") from None

    package = open_package(read)
    require_known_names(frozenset(files), frozenset(package.manifest.files))
    return package


def _read_folder(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise NotFound(f"There is no package at {folder}.")
    files, total = {}, 0
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise InvalidPackage(
                f"The package holds a symbolic link, {path.name}; a package holds plain files only."
            )
        if not path.is_file():
            raise InvalidPackage(f"The package holds {path.name}, which is no plain file.")
        total += path.stat().st_size
        if total > MAX_PACKAGE_BYTES:
            raise InvalidPackage(
                f"The package is too large: {path.name} brings it to {total} bytes, and {MAX_PACKAGE_BYTES} are allowed."
            )
        files[path.name] = path.read_bytes()
    if MANIFEST not in files:
        raise NotFound(f"The package {folder} has no {MANIFEST}.")
    return files
