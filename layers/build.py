"""Build the Lambda layers from our sources and their locks, for any architecture, without Docker.

``layers/.build/<target>/<layer>`` is what the stacks ship. A layer is built beside its place and moved there
in one step, so a reader sees the old layer or the new one and never half of one. A marker inside says what
it was made from; the same sources and recipe give the same files, and an up-to-date layer is left alone.

    python -m layers.build local arm64 x86_64
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from layers import byte_code, core_layer, native_kernel, native_libraries
from layers.byte_code import LAMBDA_PYTHON
from layers.provenance import MARKER, lock, made_from
from layers.weight import LAMBDA_LIMIT_MIB, unzipped_bytes

LAYERS = Path(__file__).resolve().parent
BUILDS = LAYERS / ".build"
TARGETS = ("local", "arm64", "x86_64")

REFUSALS = (subprocess.CalledProcessError, native_kernel.CannotCompile, byte_code.WrongByteCode)
"""Why a layer cannot be built: a program failed, our C or the compiler of byte code is wrong."""

# Machine-dependent or of use only to an installer; what stays of dist-info are licences and metadata.
INSTALLER_FILES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")


UNUSED = (
    "**/tests",
    "**/*.pyi",
    "numpy/_core/include",
    "numpy/f2py",
    "matplotlib/mpl-data/sample_data",
    "matplotlib/mpl-data/fonts/afm",
    "matplotlib/mpl-data/fonts/pdfcorefonts",
    "matplotlib/backends/web_backend",
    "duckdb/experimental",
    # Matplotlib imports its table of glyphs' names for every picture, and the rest of it for PDF and PostScript alone.
    "fontTools/[!_am]*",
    "fontTools/m[!i]*",
    "fontTools/misc/*.c",
    "fontTools/misc/*.so",
)
"""Of the analysis layer's packages: what no function can come to need."""


def core(target: str, workshop: Path, python: Path) -> None:  # noqa: ARG001 - one form for every recipe
    """Our modules that a function can reach, with byte code, and the native kernel."""
    source = LAYERS / "core"
    for file in core_layer.shipped(source):
        (python / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "python" / file, python / file)
    byte_code.compile_folder(python, target)
    native_kernel.build(target, python / "quicksilver" / native_kernel.LIBRARY, core=source)


def runtime(target: str, workshop: Path, python: Path) -> None:
    """Every installed package as it is, with byte code."""
    packages = workshop / "packages"
    _install(lock(LAYERS, "runtime"), packages, target)
    for entry in packages.iterdir():
        if entry.name not in ("bin", ".lock"):
            shutil.move(entry, python / entry.name)
    _tidy(python)
    byte_code.compile_folder(python, target)


def lightgbm(target: str, workshop: Path, python: Path) -> None:
    """The two native libraries only: the score function calls them by ctypes."""
    packages = workshop / "packages"
    _install(lock(LAYERS, "lightgbm"), packages, target)
    native_libraries.vendor_openmp(packages, python)


def analysis(target: str, workshop: Path, python: Path) -> None:
    """What computes, queries and draws off the request path, without its tests, headers and sample data."""
    packages = workshop / "packages"
    _install(lock(LAYERS, "analysis"), packages, target)
    for entry in packages.iterdir():
        if entry.name not in ("bin", "share", ".lock"):
            shutil.move(entry, python / entry.name)
    for unused in (path for pattern in UNUSED for path in list(python.glob(pattern))):
        if unused.is_dir():
            shutil.rmtree(unused)
        else:
            unused.unlink(missing_ok=True)
    _tidy(python)
    byte_code.compile_folder(python, target)


RECIPES: dict[str, Callable[[str, Path, Path], None]] = {
    "core": core,
    "runtime": runtime,
    "lightgbm": lightgbm,
    "analysis": analysis,
}


CARRIED_BY_ALL = ("core", "runtime", "lightgbm")
"""What a function on the request path carries; ``analysis`` is for those that compute and draw."""


def is_current(layer: str, target: str) -> bool:
    """Whether the built layer comes from today's sources, recipe and (for ``local``) interpreter."""
    place = BUILDS / target / layer
    try:
        marker, recipe = (place / MARKER).read_text(), _recipe_file(place).read_text()
    except FileNotFoundError:
        return False
    return (marker, recipe) == (made_from(LAYERS, layer), _recipe(target))


def build(layer: str, target: str) -> None:
    """Build one layer, or raise one of ``REFUSALS`` and leave the old one."""
    place = BUILDS / target / layer
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{layer}-") as folder:
        workshop = Path(folder)
        draft = workshop / "layer"
        (draft / "python").mkdir(parents=True)
        # Taken first: a source that changes during the build makes the layer outdated.
        origin = made_from(LAYERS, layer)
        RECIPES[layer](target, workshop, draft / "python")
        (draft / MARKER).write_text(origin)
        _recipe_file(place).unlink(missing_ok=True)
        if place.exists():
            place.rename(workshop / "old")
        draft.rename(place)
        _recipe_file(place).write_text(_recipe(target))


def layer_sizes(target: str, layers: Iterable[str] = RECIPES) -> dict[str, int]:
    """Unzipped bytes per layer of a target: of all layers, or of these."""
    return {layer: unzipped_bytes(BUILDS / target / layer, without=(MARKER,)) for layer in layers}


def _install(lock_file: Path, packages: Path, target: str) -> None:
    where = (
        ["--python", sys.executable]
        if target == "local"
        else [
            *("--python-version", LAMBDA_PYTHON),
            # Lambda's Python 3.13 runs on Amazon Linux 2023, glibc 2.34.
            *("--python-platform", f"{'aarch64' if target == 'arm64' else target}-manylinux_2_28"),
        ]
    )
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--target",
        packages,
        "--no-deps",
        "--require-hashes",
    ]
    # Copies: a layer may be patched, and the installer's cache is shared.
    subprocess.run(
        [*command, "--link-mode", "copy", "--only-binary", ":all:", *where, "-r", lock_file], check=True
    )


def _tidy(layer: Path) -> None:
    for path in sorted(layer.rglob("*"), reverse=True):
        if path.name == "__pycache__":
            shutil.rmtree(path)
        elif path.parent.suffix == ".dist-info" and path.name in INSTALLER_FILES:
            path.unlink()


def _recipe_file(place: Path) -> Path:
    # Beside the layer and not in it: a change of the recipe that changes no file is no new layer version.
    return place.with_name(f"{place.name}.recipe")


def _recipe(target: str) -> str:
    machine = platform.platform() if target == "local" else LAMBDA_PYTHON
    digest = native_kernel.digest([Path(__file__), Path(native_libraries.__file__), *byte_code.RECIPE])
    return f"{machine} {byte_code.compiler(target)} {digest}"


def _reason(error: Exception) -> str:
    """For a program that failed one line, as it has itself said more, just before."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"{Path(error.cmd[0]).name} ended with exit code {error.returncode}."
    return str(error)


def _table() -> Table:
    table = Table(title=f"Layers, unzipped MiB (Lambda allows {LAMBDA_LIMIT_MIB} with the function)")
    table.add_column("target")
    built = [target for target in TARGETS if all((BUILDS / target / layer).exists() for layer in RECIPES)]
    for column in (*RECIPES, "total"):
        table.add_column(column, justify="right")
    for target in built:
        sizes = layer_sizes(target)
        table.add_row(target, *(f"{n / 2**20:.1f}" for n in (*sizes.values(), sum(sizes.values()))))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the layers of the given targets up to date and print their sizes."""
    parser = argparse.ArgumentParser(prog="python -m layers.build", description="Build the Lambda layers.")
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--quiet", action="store_true", help="print only what was built")
    options = parser.parse_args(arguments)
    console = Console()
    for target in options.targets:
        for layer in RECIPES:
            if not is_current(layer, target):
                with console.status(f"building layer {layer} for {target}"):
                    try:
                        build(layer, target)
                    except REFUSALS as error:
                        console.print(f"[red]layer {layer} for {target} cannot be built[/red]:", end=" ")
                        console.print(_reason(error), markup=False, highlight=False, soft_wrap=True)
                        return 1
                console.print(f"built layer {layer} for {target}")
    if not options.quiet:
        console.print(_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
