"""Figures: what a bench found, as ``build/figures/<name>.json``, with what the machine was."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.processes import cores, processor

FIGURES = Path("build/figures")
WIDTH = 100


def write(name: str, content: dict[str, Any], *, taken: str, folder: Path = FIGURES) -> Path:
    """Write a bench's figures. ``taken`` says in a sentence how they were taken."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    machine = {"processor": processor(), "cores": len(set(cores())), "python": platform.python_version()}
    path.write_text(json.dumps({**_rounded(content), "taken": taken, "machine": machine}, indent=2) + "\n")
    return path


def read(name: str, folder: Path = FIGURES) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def show(table: Table) -> None:
    Console(width=WIDTH).print(table)


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return made


def _rounded(value: Any) -> Any:
    """Four significant digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
