"""The native kernel: ``layers/core/native/*.c`` compiled to ``libquicksilver.so``, for this machine or for Lambda.

A library for Lambda comes from the locked Zig, so the same sources give the same bytes wherever it is built. The
one for this machine comes from the machine's own C compiler, or from Zig where there is none. Results are the same
to the last bit everywhere: no flag lets a compiler reorder or fuse floating-point operations.

Run as a script, it builds the library of the checkout, beside the package that loads it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from layers import zig

CORE = Path(__file__).resolve().parent / "core"
LIBRARY = "libquicksilver.so"
IN_CHECKOUT = CORE / "python" / "quicksilver" / LIBRARY

# -ffp-contract=off: a fused multiply-add rounds once where others round twice.
FLAGS = (
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
)
# No symbols, and no build id: it would differ with the place of the build.
_LINUX_LINKER = ("-s", "-Wl,--build-id=none")

# Lambda's Python 3.13 runs on Amazon Linux 2023, glibc 2.34. Its x86_64 processors have AVX2
# (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-avx2.html); its arm64 ones are Graviton2 or newer.
LAMBDA_TARGETS = {
    "x86_64": ("-target", "x86_64-linux-gnu.2.34", "-mcpu=x86_64_v3"),
    "arm64": ("-target", "aarch64-linux-gnu.2.34", "-mcpu=neoverse_n1"),
}

Finder = Callable[[str], str | None]
"""Where a program is, by its name; ``None`` if nowhere."""

_PROBE = "#include <math.h>\n#include <stdlib.h>\nint probe(void);\nint probe(void) { return abs(1); }\n"


class CannotCompile(Exception):
    """The library was not built. The message ends with the compiler's own words."""


def sources(core: Path = CORE) -> list[Path]:
    """What is compiled, in order. Subfolders hold tests and fuzz harnesses, which are not."""
    return sorted((core / "native").glob("*.c"))


def inputs(core: Path = CORE) -> list[Path]:
    """Every file that a library's bytes depend on: sources, headers, the compiler's lock and this recipe."""
    headers = sorted((core / "native").glob("*.h"))
    return [*sources(core), *headers, zig.LOCK, Path(__file__), Path(zig.__file__)]


def build(target: str, library: Path, *, core: Path = CORE, find: Finder = shutil.which) -> None:
    """Compile ``library`` for ``local``, ``arm64`` or ``x86_64``, and put it in its place in one step.

    Raises ``CannotCompile``, leaving what was there; ``subprocess.CalledProcessError`` when Zig is needed and
    cannot be installed.
    """
    compiler = own_compiler(find) if target == "local" else None
    command = (
        [*compiler, *_own_processor()]
        if compiler
        # Zig is locked and so are its warnings; another compiler may warn of more than we could test.
        else [str(zig.zig()), "cc", *(LAMBDA_TARGETS.get(target) or _own_target()), "-Werror"]
    )
    linker = () if sys.platform == "darwin" and target == "local" else _LINUX_LINKER
    # Relative names, from the sources' own folder: no path of this machine gets into the library.
    names = [path.name for path in sources(core)]
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=f".{library.name}-") as workshop:
        draft = Path(workshop, library.name)
        said = compile_by([*command, *FLAGS, *linker, *names, "-o", str(draft), "-lm"], core / "native")
        if said:
            print(said, file=sys.stderr)
        draft.chmod(0o755)
        draft.replace(library)


def digest(paths: Sequence[Path]) -> str:
    """SHA-256, in hex, over the names and contents of files."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def compile_by(command: Sequence[str], folder: Path) -> str:
    """Run a compiler and return what it said. Raises ``CannotCompile``."""
    try:
        run = subprocess.run(
            command,
            cwd=folder,
            env=zig.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as reason:
        raise CannotCompile(f"The C compiler {command[0]} cannot be started: {reason.strerror}.") from None
    if run.returncode:
        raise CannotCompile(
            f"{Path(command[0]).name} cannot compile the native kernel (exit code {run.returncode}). It says:\n"
            f"{run.stdout.rstrip()}"
        )
    return run.stdout.rstrip()


def own_compiler(find: Finder) -> list[str] | None:
    """The machine's C compiler: what ``CC`` names, else the first of the usual ones that works."""
    if named := shlex.split(os.environ.get("CC", "")):
        return named
    return next(([path] for name in ("cc", "gcc", "clang") if (path := find(name)) and _works(path)), None)


def _works(compiler: str) -> bool:
    # A slim image may have a compiler without the C library's headers; a Mac, a placeholder for one.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe.c").write_text(_PROBE)
        try:
            compile_by([compiler, "-shared", "-fPIC", "probe.c", "-o", "probe.so", "-lm"], Path(folder))
        except CannotCompile:
            return False
    return True


def _own_processor() -> Iterator[str]:
    # The two families of processors name the same wish differently.
    yield "-march=native" if platform.machine().lower() in ("x86_64", "amd64") else "-mcpu=native"


def _own_target() -> Sequence[str]:
    if sys.platform != "linux":
        return ("-mcpu=native",)
    # Named in full, so that Zig takes its own headers and asks nothing of the machine. Older than
    # glibc 2.28 no wheel of LightGBM runs either.
    return ("-target", f"{platform.machine()}-linux-gnu.2.28", "-mcpu=native")


def main() -> int:
    try:
        build("local", IN_CHECKOUT)
    except CannotCompile as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(
            f"The C compiler Zig cannot be installed: uv ended with exit code {error.returncode}.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
