"""How every command speaks: results on stdout (as text or JSON), progress and errors on stderr.

An expected error is one clear sentence, what to do next, and exit code 1; never a traceback.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress, TaskID

from quicksilver.errors import InvalidInput, QuicksilverError

P = ParamSpec("P")
R = TypeVar("R")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]

# Into a file or a pipe as wide as our tables are made for; a terminal says its own width.
_out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 100)
_err = Console(stderr=True, soft_wrap=True)


def emit(data: object, *, as_json: bool, render: Callable[[], RenderableType]) -> None:
    """Print a command's result: ``data`` as JSON, or what ``render`` makes of it for a person.

    ``data`` must be what ``json`` can write; NaN and infinity are refused with ``ValueError``.
    """
    if as_json:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _out.print(render())


def write_page(page: Path, html: str) -> None:
    """Write a page into a folder that is there. Raises ``InvalidInput`` where that cannot be."""
    try:
        page.write_text(html, encoding="utf-8")
    except OSError as reason:
        raise InvalidInput(f"{page} cannot be written: {reason.strerror}.") from None


def fail(message: str, hint: str = "") -> NoReturn:
    """End the command with exit code 1, one sentence and what to do next."""
    _err.print("[red]error[/red]", end=" ")
    _err.print(message, markup=False, highlight=False)
    if hint:
        _err.print(hint, markup=False, highlight=False)
    raise typer.Exit(1)


def explains_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that a ``QuicksilverError`` ends it by ``fail``.

    The hint is made of the fields an ``InvalidInput`` names and of the error's notes (PEP 678).
    """

    @functools.wraps(command)
    def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except QuicksilverError as error:
            fields = [f"  {field}" for field in error.fields] if isinstance(error, InvalidInput) else []
            fail(str(error), "\n".join([*fields, *getattr(error, "__notes__", ())]))

    return explained


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """Show the present step on stderr: a spinner on a terminal, one line per step elsewhere."""
    if not _err.is_terminal:
        yield lambda step: _err.print(step, markup=False, highlight=False)
        return
    with _err.status(first) as status:
        yield lambda step: status.update(step)


@contextmanager
def progress_steps() -> Iterator[Callable[[str, int, int], None]]:
    """Show ``step(name, done, total)`` as one bar per step on stderr; elsewhere than on a terminal, a line per step."""
    if not _err.is_terminal:
        said: list[str] = []

        def say(step: str, _done: int, _total: int) -> None:
            if step not in said:
                said.append(step)
                _err.print(step, markup=False, highlight=False)

        yield say
        return
    with Progress(console=_err, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                for earlier in tasks.values():
                    bar.update(earlier, completed=1, total=1)
                tasks[step] = bar.add_task(step)
            bar.update(tasks[step], completed=done, total=total)

        yield show


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show ``advance(done, total)`` as a bar on stderr that goes when it is done; elsewhere than a terminal, nothing."""
    with Progress(console=_err, transient=True, disable=not _err.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
