"""What of ``layers/core`` is shipped: the modules that a function can reach, and nothing that only people run."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

# What people run imports libraries that no layer has, or serves nobody else.
LEFT_OUT = (
    "quicksilver/cli/*",
    "quicksilver/local/*",
    "quicksilver/doctor/*",
    "quicksilver/stage_state.py",
    "quicksilver/aws/probed_api.py",
    "quicksilver/aws/stage_reader.py",
    "quicksilver/contract_draft.py",
    "quicksilver/cost/*",
    "quicksilver/experiment/*",
    "quicksilver/gates/render.py",
    "quicksilver/model_card.py",
    "quicksilver/model_card_pictures.py",
    "quicksilver/outcome_files.py",
    "quicksilver/package_diff.py",
    # Of the reports the drift function writes one, which its alarm links to.
    "quicksilver/reports/experiment*",
    "quicksilver/reports/performance*",
    "quicksilver/reports/rollout*",
    "quicksilver/reports/shadow*",
    "quicksilver/rollup/recount.py",
    "quicksilver/templates/model_card.html.j2",
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


def _matches(file: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)
