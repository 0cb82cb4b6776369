"""What of ``layers/core`` is shipped: the modules that a function can reach, and nothing that only people run."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

# What people run imports libraries that no layer has, or serves nobody else.
LEFT_OUT = (
    "quicksilver/cli/*",
    "quicksilver/local/*",
    "quicksilver/contract_draft.py",
    "quicksilver/experiment/*",
    "quicksilver/gates/render.py",
    "quicksilver/model_card.py",
    "quicksilver/model_card_pictures.py",
    "quicksilver/outcome_files.py",
    "quicksilver/package_diff.py",
    "quicksilver/reports/*",
    "quicksilver/rollup/recount.py",
    "quicksilver/templates/model_card.html.j2",
    "quicksilver/packing.py",
    "quicksilver/profile_builder.py",
    "quicksilver/templates/model_card*",
    "quicksilver/training_frame.py",
    "quicksilver/training_metrics.py",
    # Gates run where models are trained; the registry reads their policies and reports, and compares contracts.
    "quicksilver/gates/*",
)
SHIPPED_ALL_THE_SAME = (
    "quicksilver/gates/__init__.py",
    "quicksilver/gates/compatibility.py",
    "quicksilver/gates/policy.py",
    "quicksilver/gates/report.py",
    # The drift function writes the page that its alarm links to.
    "quicksilver/reports/__init__.py",
    "quicksilver/reports/drift*.py",
)
# Each layer gets byte code and a native library of its own.
_BUILT = ("*/__pycache__/*", "*.pyc", "*.so", "*.egg-info/*")


def shipped(core: Path) -> list[Path]:
    """The files of the layer's sources, relative to ``core/python``, in order."""
    python = core / "python"
    files = (path.relative_to(python) for path in sorted(python.rglob("*")) if path.is_file())
    return [file for file in files if _ships(file.as_posix())]


def _ships(file: str) -> bool:
    return not _matches(file, (*LEFT_OUT, *_BUILT))
    if _matches(file, _BUILT):
        return False
    return _matches(file, SHIPPED_ALL_THE_SAME) or not _matches(file, LEFT_OUT)


def _matches(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)
