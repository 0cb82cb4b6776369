"""Build the Lambda layers from their locks, for any architecture, without Docker or a compiler.

``layers/.build/<target>/<layer>`` is what the stacks ship. A layer is built beside its place and moved there
in one step, so a reader sees the old layer or the new one and never half of one. ``.lock-sha256`` inside
says which lock it came from; the same lock and recipe give the same files, and an up-to-date layer is left alone.

    python -m layers.build local arm64 x86_64
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from layers import native_libraries

LAYERS = Path(__file__).resolve().parent
BUILDS = LAYERS / ".build"
CORE = LAYERS / "core"
TARGETS = ("local", "arm64", "x86_64")
LAMBDA_PYTHON = "3.13"
LAMBDA_LIMIT_MIB = 250
"""Function and layers, unzipped (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

MARKER = ".lock-sha256"
NOT_SHIPPED = ("__pycache__", "cli", "local", "native")
"""Folders of the core layer's source that stay behind; the stack leaves out the same."""

# Machine-dependent or of use only to an installer; what stays of dist-info are licences and metadata.
INSTALLER_FILES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")


def runtime(packages: Path, layer: Path) -> None:
    """Every installed package as it is."""
    for entry in packages.iterdir():
        if entry.name not in ("bin", ".lock"):
            shutil.move(entry, layer / entry.name)


def lightgbm(packages: Path, layer: Path) -> None:
    """The two native libraries only: the score function calls them by ctypes."""
    native_libraries.vendor_openmp(packages, layer)


RECIPES: dict[str, Callable[[Path, Path], None]] = {"runtime": runtime, "lightgbm": lightgbm}


def lock(layer: str) -> Path:
    return LAYERS / layer / "requirements.txt"


def is_current(layer: str, target: str) -> bool:
    """Whether the built layer comes from today's lock, recipe and (for ``local``) interpreter."""
    place = BUILDS / target / layer
    try:
        return (place / MARKER).read_text() == _sha256(lock(layer)) and _recipe_file(
            place
        ).read_text() == _recipe(target)
    except FileNotFoundError:
        return False


def build(layer: str, target: str) -> None:
    """Build one layer. Raises ``subprocess.CalledProcessError`` when the lock cannot be installed."""
    place = BUILDS / target / layer
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{layer}-") as workshop:
        packages, draft = Path(workshop, "packages"), Path(workshop, "layer")
        _install(lock(layer), packages, target)
        (draft / "python").mkdir(parents=True)
        RECIPES[layer](packages, draft / "python")
        _tidy(draft)
        (draft / MARKER).write_text(_sha256(lock(layer)))
        _recipe_file(place).unlink(missing_ok=True)
        if place.exists():
            place.rename(Path(workshop, "old"))
        draft.rename(place)
        _recipe_file(place).write_text(_recipe(target))


def unzipped_bytes(folder: Path, *, without: Sequence[str] = ("__pycache__",)) -> int:
    """Size of the files under ``folder``, except in folders named in ``without``."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(without)
    )


def layer_sizes(target: str) -> dict[str, int]:
    """Unzipped bytes per layer of a target, with ``core`` as it would be shipped."""
    sizes = {layer: unzipped_bytes(BUILDS / target / layer) for layer in RECIPES}
    return {"core": unzipped_bytes(CORE, without=NOT_SHIPPED), **sizes}


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
    interpreter = (
        f"{sys.implementation.cache_tag} {platform.platform()}" if target == "local" else LAMBDA_PYTHON
    )
    return f"{interpreter} {_sha256(Path(__file__))} {_sha256(Path(native_libraries.__file__))}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _reason(error: subprocess.CalledProcessError) -> str:
    """One line: the program that failed has itself said more, just before."""
    return f"{Path(error.cmd[0]).name} ended with exit code {error.returncode}."


def _table() -> Table:
    table = Table(title=f"Layers, unzipped MiB (Lambda allows {LAMBDA_LIMIT_MIB} with the function)")
    table.add_column("target")
    built = [target for target in TARGETS if all((BUILDS / target / layer).exists() for layer in RECIPES)]
    for column in ("core", *RECIPES, "total"):
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
                    except subprocess.CalledProcessError as error:
                        console.print(
                            f"[red]layer {layer} for {target} cannot be built[/red]: {_reason(error)}"
                        )
                        return 1
                console.print(f"built layer {layer} for {target}")
    if not options.quiet:
        console.print(_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
