"""The native kernel is built for this machine and for Lambda, with a C compiler here or without one."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quicksilver
from layers import native_kernel

NATIVE = native_kernel.CORE / "native"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="ELF is of Linux libraries")


def nothing(name: str) -> None:
    """A machine without any C compiler."""


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources elsewhere, and no wish for a compiler in the environment."""
    monkeypatch.delenv("CC", raising=False)
    shutil.copytree(NATIVE, tmp_path / "core" / "native")
    return tmp_path / "core"


def is_the_kernel(library: Path) -> bool:
    """It loads, and answers: an empty text is refused (1) with a reason."""
    forest, reason = ctypes.c_void_p(), ctypes.create_string_buffer(64)
    compile_forest = ctypes.CDLL(str(library)).qs_forest_compile
    status = compile_forest(
        b"", ctypes.c_size_t(0), ctypes.byref(forest), reason, ctypes.c_size_t(len(reason))
    )
    return (status, reason.value) == (1, b"it has no trees")


def test_the_checkout_has_the_library_beside_the_package() -> None:
    beside = Path(quicksilver.__file__).with_name(native_kernel.LIBRARY)
    assert beside == native_kernel.IN_CHECKOUT
    assert is_the_kernel(beside)


def test_a_machine_without_a_compiler_gets_the_same_library_from_zig(core: Path) -> None:
    library = core.parent / "built" / native_kernel.LIBRARY
    native_kernel.build("local", library, core=core, find=nothing)
    assert is_the_kernel(library)


@linux_only
def test_a_compiler_without_the_c_librarys_headers_is_passed_over(core: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    useless = tmp_path / "cc"
    useless.write_text('#!/bin/sh\necho "fatal error: math.h: No such file or directory" >&2\nexit 1\n')
    useless.chmod(0o755)

    def find(name: str) -> str | None:
        asked.append(name)
        return str(useless) if name == "cc" else None

    native_kernel.build("local", tmp_path / native_kernel.LIBRARY, core=core, find=find)
    assert asked == ["cc", "gcc", "clang"]
    assert is_the_kernel(tmp_path / native_kernel.LIBRARY)


def test_what_cc_names_is_used_and_nothing_else(core: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -flag")
    with pytest.raises(
        native_kernel.CannotCompile, match=r"^The C compiler no-such-compiler cannot be started: No such"
    ):
        native_kernel.build("local", core / native_kernel.LIBRARY, core=core)


@pytest.mark.parametrize("target", native_kernel.LAMBDA_TARGETS)
def test_a_library_for_lambda_has_the_same_bytes_wherever_it_is_built(target: str, core: Path) -> None:
    native_kernel.build(target, core / "one.so", core=core)
    native_kernel.build(target, core.parent / "elsewhere" / "two.so", core=native_kernel.CORE)
    first = (core / "one.so").read_bytes()
    assert first == (core.parent / "elsewhere" / "two.so").read_bytes()
    assert str(core).encode() not in first


def test_a_program_that_is_wrong_is_refused_with_the_compilers_words(core: Path) -> None:
    library = core / native_kernel.LIBRARY
    library.write_bytes(b"the one before")
    (core / "native" / "wrong.c").write_text("int wrong(\n")
    with pytest.raises(native_kernel.CannotCompile) as refused:
        native_kernel.build("x86_64", library, core=core)
    sentence, *words = str(refused.value).splitlines()
    assert sentence == "zig cannot compile the native kernel (exit code 1). It says:"
    assert words[0].startswith("wrong.c:")
    assert library.read_bytes() == b"the one before"
    assert [path.name for path in core.iterdir() if path.name.startswith(".")] == []


def test_a_warning_is_an_error_for_lambda(core: Path) -> None:
    (core / "native" / "careless.c").write_text("static int never_used(void) { return 1; }\n")
    with pytest.raises(native_kernel.CannotCompile, match="unused function"):
        native_kernel.build("arm64", core / native_kernel.LIBRARY, core=core)


def test_harnesses_in_subfolders_are_not_compiled(core: Path) -> None:
    (core / "native" / "fuzz").mkdir(exist_ok=True)
    (core / "native" / "fuzz" / "harness.c").write_text("int main(void) { return 0; }\n")
    assert all(path.parent == core / "native" for path in native_kernel.sources(core))


def test_the_digest_follows_sources_and_headers(core: Path) -> None:
    before = native_kernel.digest(native_kernel.inputs(core))
    (core / "native" / "more.h").write_text("#define MORE 1\n")
    after = native_kernel.digest(native_kernel.inputs(core))
    assert before != after == native_kernel.digest(native_kernel.inputs(core))


def test_the_script_says_in_one_sentence_what_went_wrong() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "layers.native_kernel"],
        cwd=native_kernel.CORE.parents[1],
        env={"CC": "no-such-compiler", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "The C compiler no-such-compiler cannot be started: No such file or directory.\n"
