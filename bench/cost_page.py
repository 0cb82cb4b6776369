"""Write the figures of docs/cost.md anew: each block there is a command line and what it prints (``make cost``)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from quicksilver.cli.app import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cost.md"

_BLOCK = re.compile(r"^```\n(quicksilver cost [^\n]*)\n.*?^```$", re.MULTILINE | re.DOTALL)


def printed(command: str) -> str:
    """What the command line prints, without blanks at the ends of lines. Raises ``RuntimeError`` where it fails."""
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    if done.exit_code:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.exception}")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def refreshed(page: str, run: Callable[[str], str] = printed) -> str:
    """The page with every block as its command prints it now."""
    return _BLOCK.sub(lambda block: f"```\n{block[1]}\n{run(block[1])}\n```", page)


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text()))
    print(f"{PAGE.relative_to(PAGE.parents[1])} is as the templates are now")
