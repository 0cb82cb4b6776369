"""A model package as one .tar, written so that the same package gives the same bytes, and read without trust.

Nothing is unpacked to disk: an archive is judged by its headers first and its files are read into memory
after. Python's ``tarfile`` follows extended headers, links and sparse files on its own; an archive of
ours holds plain files only, so its headers are walked here and anything else is refused.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quicksilver.errors import FieldError, InvalidPackage, NotFound
from quicksilver.package import MANIFEST, MAX_PACKAGE_BYTES, REQUIRED_FILES

_BLOCK = 512
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    offset: int
    size: int


def write_tar(files: Mapping[str, bytes], path: Path) -> None:
    """Write a package's files as a new archive: names sorted, no times, owners or rights of this machine.

    Raises ``InvalidPackage`` where ``path`` exists. The file appears whole or not at all.
    """
    if path.exists():
        raise InvalidPackage(f"The file {path} exists.", [FieldError("path", "must be new")])
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as target:
            _write(files, target)
        # The draft is for its maker only; an archive is handed on.
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def tar_bytes(files: Mapping[str, bytes]) -> bytes:
    """A package's files as the bytes of the archive that ``write_tar`` writes."""
    target = io.BytesIO()
    _write(files, target)
    return target.getvalue()


def _write(files: Mapping[str, bytes], target: BinaryIO) -> None:
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))


def read_tar(path: Path, *, max_bytes: int = MAX_PACKAGE_BYTES) -> dict[str, bytes]:
    """Every file of an archive, by name. At most ``max_bytes`` are read, however much the archive claims to hold.

    Raises ``NotFound`` where there is no file, and ``InvalidPackage`` in one sentence for an archive that is
    too large, cut off, altered, or holds anything but distinct plain files with plain names.
    """
    try:
        with path.open("rb") as source:
            return read_archive(source, max_bytes=max_bytes)
    except FileNotFoundError:
        raise NotFound(f"There is no package at {path}.") from None
    except OSError as error:
        raise InvalidPackage(f"The package {path} cannot be read: {error.strerror}.") from None


def read_archive(source: BinaryIO, *, max_bytes: int = MAX_PACKAGE_BYTES) -> dict[str, bytes]:
    """As ``read_tar``, from an open file or from bytes in memory."""
    length = source.seek(0, io.SEEK_END)
    return {member.name: _read(source, member) for member in _members(source, length, max_bytes)}


def require_known_names(names: frozenset[str], manifest_names: frozenset[str]) -> None:
    """Refuse any file that the manifest does not name: what is not verified is not carried along."""
    if extra := sorted(names - manifest_names - {MANIFEST}):
        raise InvalidPackage(
            "The package holds files that are not in its manifest.",
            [
                FieldError(
                    name,
                    "is a pickle, which runs code when read"
                    if _is_pickle(name)
                    else "is not in the manifest",
                )
                for name in extra
            ],
        )


def _is_pickle(name: str) -> bool:
    return name.endswith((".pkl", ".pickle", ".joblib"))


def _members(source: BinaryIO, length: int, max_bytes: int) -> list[_Member]:
    members: dict[str, _Member] = {}
    offset = total = 0
    while True:
        source.seek(offset)
        block = source.read(_BLOCK)
        if block == b"\0" * _BLOCK:
            break
        if len(block) < _BLOCK:
            raise InvalidPackage("The archive is truncated: it has no end.")
        member = _member(block, offset)
        total += member.size
        if total > max_bytes:
            raise InvalidPackage(
                f"The archive is too large: {member.name} brings it to {total} bytes, and {max_bytes} are allowed."
            )
        if member.name in members:
            raise InvalidPackage(f"The archive holds {member.name} twice.")
        if member.offset + member.size > length:
            raise InvalidPackage(f"The archive is truncated: {member.name} is cut off.")
        members[member.name] = member
        offset = member.offset + -(-member.size // _BLOCK) * _BLOCK
    if missing := sorted({MANIFEST, *REQUIRED_FILES} - members.keys()):
        raise InvalidPackage(
            "The archive is not a whole package.",
            [FieldError(name, "is not in the archive") for name in missing],
        )
    return list(members.values())


def _member(block: bytes, offset: int) -> _Member:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise InvalidPackage("The archive is not a .tar, or a header of it is altered.") from None
    name = header.name.encode("utf-8", "backslashreplace").decode()
    if name.startswith("/") or ".." in name.split("/"):
        raise InvalidPackage(f"The archive reaches outside itself: {name}.")
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(header.type, "a special entry")
        raise InvalidPackage(f"The archive holds {kind}, {name}; a package holds plain files only.")
    if "/" in name or "\\" in name or not name:
        raise InvalidPackage(f"The archive holds {name!r}; a package has no folders.")
    if header.size < 0:
        raise InvalidPackage(f"The archive is altered: the size of {name} is negative.")
    return _Member(name, offset + _BLOCK, header.size)


def _read(source: BinaryIO, member: _Member) -> bytes:
    source.seek(member.offset)
    return source.read(member.size)
