"""A report as one HTML page that needs nothing else: shadow, rollout and experiment reports are each one.

The same arguments give the same text. Not on the request path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Badge:
    """One word on how it stands, in a colour: green, amber, red or grey."""

    kind: Literal["pass", "warn", "fail", "none"]
    words: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing's data URI (see ``drawing``); ``title`` is for those who cannot see it."""

    uri: str
    title: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows of as many cells as there are columns. A column of numbers is set as figures; an empty cell is ``None``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""

    def is_figures(self, column: int) -> bool:
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and not any(isinstance(cell, str) for cell in cells)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs, figures at a glance (label and value), pictures and tables, in that order."""

    heading: str
    text: tuple[str, ...] = ()
    facts: tuple[tuple[str, Cell], ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[PageTable, ...] = ()


def render_page(title: str, summary: str, sections: Sequence[Section], *, badge: Badge | None = None) -> str:
    """The page. ``summary`` is the sentence a reader in a hurry reads. All text is text and never markup."""
    page = templates(autoescape=True)
    page.filters["figure"] = figure
    return page.get_template("report.html.j2").render(
        title=title, summary=summary, sections=sections, badge=badge
    )


def templates(*, autoescape: bool = False) -> Environment:
    """The package's templates; a name that is not given is an error."""
    return Environment(
        loader=PackageLoader("quicksilver"),
        autoescape=autoescape,  # noqa: S701 - Markdown has nothing to escape; HTML turns it on
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def figure(value: Cell) -> str:
    """A cell as a reader wants it: integers whole, other numbers to four digits, text as it is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.5f}" if 1e-6 < abs(value) < 1e-3 else f"{value:.4g}"
