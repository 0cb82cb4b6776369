"""An archive from outside is judged by its headers: whatever is not a plain package is refused in one sentence."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quicksilver.errors import InvalidPackage, NotFound
from quicksilver.package import MANIFEST, MODEL
from quicksilver.package_files import evaluation_path, read_package, write_handover, write_package
from quicksilver.tarball import read_tar, write_tar

if TYPE_CHECKING:
    from quicksilver.package import Package

Bend = Callable[[tarfile.TarFile], None]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def bent(package: Package, path: Path, bend: Bend) -> Path:
    """The package as an archive, with whatever ``bend`` puts into it beside."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in package.files.items():
            info = member(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        bend(tar)
    return path


def with_file(name: str, data: bytes = b"x") -> Bend:
    def bend(tar: tarfile.TarFile) -> None:
        info = member(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

    return bend


def test_the_same_package_is_the_same_archive_whenever_and_whoever_writes_it(
    package: Package, tmp_path: Path
) -> None:
    write_package(package, tmp_path / "a.tar")
    os.umask(os.umask(0o077))
    write_tar(dict(reversed(package.files.items())), tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [(m.name, m.mtime, m.uid, m.mode) for m in tar] == [
            (name, 0, 0, 0o644) for name in sorted(package.files)
        ]


def test_an_archive_is_the_package_that_went_in(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "p.tar")
    again = read_package(tmp_path / "p.tar")
    assert (again.sha256, again.files) == (package.sha256, package.files)


def test_an_existing_archive_is_left_as_it_is(package: Package, tmp_path: Path) -> None:
    (tmp_path / "p.tar").write_bytes(b"mine")
    with pytest.raises(InvalidPackage, match="exists"):
        write_package(package, tmp_path / "p.tar")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


@pytest.mark.parametrize(
    ("bend", "sentence"),
    [
        (with_file("../../evil.txt"), "The archive reaches outside itself: ../../evil.txt."),
        (with_file("/etc/evil"), "The archive reaches outside itself: /etc/evil."),
        (with_file("sub/evil.txt"), "The archive holds 'sub/evil.txt'; a package has no folders."),
        (with_file(MODEL), "The archive holds model.txt twice."),
        (
            lambda tar: tar.addfile(member("evil.txt", tarfile.SYMTYPE, "/etc/passwd")),
            "The archive holds a symbolic link, evil.txt; a package holds plain files only.",
        ),
        (
            lambda tar: tar.addfile(member("evil.txt", tarfile.LNKTYPE, MODEL)),
            "The archive holds a hard link, evil.txt; a package holds plain files only.",
        ),
        (
            lambda tar: tar.addfile(member("evil.txt", tarfile.CHRTYPE)),
            "The archive holds a device, evil.txt; a package holds plain files only.",
        ),
        (
            lambda tar: tar.addfile(member("evil.txt", tarfile.FIFOTYPE)),
            "The archive holds a pipe, evil.txt; a package holds plain files only.",
        ),
        (
            lambda tar: tar.addfile(member("sub", tarfile.DIRTYPE)),
            "The archive holds a folder, sub; a package holds plain files only.",
        ),
        (
            with_file("n" * 200),
            "The archive holds a special entry, ././@LongLink; a package holds plain files only.",
        ),
    ],
    ids=["traversal", "absolute", "folder", "twice", "symlink", "hardlink", "device", "pipe", "dir", "long"],
)
def test_an_archive_that_holds_more_than_plain_files_is_refused(
    package: Package, tmp_path: Path, bend: Bend, sentence: str
) -> None:
    with pytest.raises(InvalidPackage) as refusal:
        read_package(bent(package, tmp_path / "p.tar", bend))
    assert str(refusal.value) == sentence
    assert [path.name for path in tmp_path.iterdir()] == ["p.tar"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("model.pkl", "is a pickle, which runs code when read"), ("notes.txt", "is not in the manifest")],
)
@pytest.mark.parametrize("as_tar", [True, False])
def test_a_file_the_manifest_does_not_name_is_refused(
    package: Package, tmp_path: Path, name: str, reason: str, as_tar: bool
) -> None:
    path = tmp_path / ("p.tar" if as_tar else "p")
    if as_tar:
        bent(package, path, with_file(name))
    else:
        write_package(package, path)
        (path / name).write_bytes(b"x")
    with pytest.raises(InvalidPackage) as refusal:
        read_package(path)
    assert [str(field) for field in refusal.value.fields] == [f"{name}: {reason}"]


def test_two_gigabytes_are_refused_by_their_header_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tar"
    info = member(MODEL)
    info.size = 2 * 1024**3
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        # A hole: the file claims its two gigabytes and takes no room.
        file.truncate(512 + info.size + 1024)
    with pytest.raises(InvalidPackage) as refusal:
        read_package(path)
    sentence = "The archive is too large: model.txt brings it to 2147483648 bytes, and 536870912 are allowed."
    assert str(refusal.value) == sentence


def test_many_files_are_as_large_as_their_sum(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "p.tar")
    total = sum(map(len, package.files.values()))
    assert read_tar(tmp_path / "p.tar", max_bytes=total) == dict(sorted(package.files.items()))
    with pytest.raises(InvalidPackage, match="too large"):
        read_tar(tmp_path / "p.tar", max_bytes=total - 1)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        (lambda data: data[:-1024].rstrip(b"\0")[:-600], "is cut off|has no end"),
        (lambda data: data[:300], "truncated: it has no end"),
        (lambda _: b"", "truncated: it has no end"),
        (lambda _: b"PK\x03\x04" * 256, "is not a .tar"),
        (lambda data: bytes([data[0] ^ 1]) + data[1:], "or a header of it is altered"),
        (lambda _: b"\0" * 10_240, "not a whole package"),
    ],
    ids=["cut", "in a header", "empty", "zip", "altered", "nothing in it"],
)
def test_an_archive_that_is_cut_off_or_no_archive_is_refused(
    package: Package, tmp_path: Path, keep: Callable[[bytes], bytes], sentence: str
) -> None:
    write_package(package, tmp_path / "p.tar")
    (tmp_path / "p.tar").write_bytes(keep((tmp_path / "p.tar").read_bytes()))
    with pytest.raises(InvalidPackage, match=sentence):
        read_package(tmp_path / "p.tar")


def test_a_folder_with_a_symbolic_link_is_refused(package: Package, tmp_path: Path) -> None:
    write_package(package, tmp_path / "p")
    (tmp_path / "p" / MODEL).unlink()
    (tmp_path / "p" / MODEL).symlink_to("/etc/passwd")
    with pytest.raises(InvalidPackage, match=r"holds a symbolic link, model\.txt"):
        read_package(tmp_path / "p")


def test_what_is_not_there_is_said_to_be_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no package at"):
        read_package(tmp_path / "p.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=MANIFEST):
        read_package(tmp_path / "empty")


def test_a_write_that_fails_leaves_nothing(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_package(package, tmp_path / "p")
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(OSError, match="No space"):
            write_package(package, tmp_path / "p.tar")
    assert list(tmp_path.iterdir()) == []


def test_evaluation_rows_lie_beside_the_package_and_are_not_overwritten(
    package: Package, tmp_path: Path
) -> None:
    for name in ("p", "q.tar"):
        beside = write_handover(package, b"rows", tmp_path / name)
        assert beside == evaluation_path(tmp_path / name) == tmp_path / f"{name[0]}.evaluation.parquet"
    with pytest.raises(InvalidPackage, match="exists"):
        write_handover(package, b"others", tmp_path / "p.tar")
    assert (tmp_path / "p.evaluation.parquet").read_bytes() == b"rows"
    assert not (tmp_path / "p.tar").exists()
