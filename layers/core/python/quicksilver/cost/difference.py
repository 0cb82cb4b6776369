"""What a change of the templates does to a bill: totals before and after, and each line that moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from quicksilver.cost.bill import Bill, Line, cents

# Below this a line has not moved: it would be shown as nothing.
_SHOWN = Decimal("0.005")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after, in dollars."""

    what: str
    before: Decimal
    after: Decimal

    @property
    def by(self) -> Decimal:
        return self.after - self.before

    @property
    def moved(self) -> bool:
        return abs(self.by) >= _SHOWN


@dataclass(frozen=True, slots=True)
class Difference:
    """``totals`` always, and of the lines at the workload's rate those that moved, the largest first."""

    base: Bill
    head: Bill
    totals: Sequence[Change]
    lines: Sequence[Change]


def difference(base: Bill, head: Bill) -> Difference:
    """What becomes of a bill."""
    before, after = _by_what(base.lines), _by_what(head.lines)
    changes = [
        Change(what, before.get(what, Decimal(0)), after.get(what, Decimal(0)))
        for what in sorted({*before, *after})
    ]
    moved = sorted((change for change in changes if change.moved), key=lambda change: -abs(change.by))
    rate = f"{head.workload.requests_per_second.normalize():f}"
    totals = [
        Change("a month, idle", base.idle, head.idle),
        Change(f"a month at {rate} requests a second", base.dollars, head.dollars),
        Change("each million decisions beyond idle", base.per_million(), head.per_million()),
    ]
    return Difference(base, head, totals, moved)


def _by_what(lines: Sequence[Line]) -> dict[str, Decimal]:
    by_what: dict[str, Decimal] = {}
    for line in lines:
        by_what[line.what] = by_what.get(line.what, Decimal(0)) + line.dollars
    return by_what


def to_markdown(found: Difference, *, region: str, looked_up: str) -> str:
    """A comment for a pull request."""
    rows = [f"| **{change.what}** | {_row(change)} |" for change in found.totals]
    rows += [f"| {change.what} | {_row(change)} |" for change in found.lines]
    verdict = (
        "This changes what the stage costs."
        if found.lines or any(change.moved for change in found.totals)
        else "This changes nothing of what the stage costs."
    )
    return "\n".join(
        [
            f"### Cost of stage {found.head.stage}",
            "",
            verdict,
            "",
            "| $ | before | after | change |",
            "|---|--:|--:|--:|",
            *rows,
            "",
            f"List prices of {region}, looked up on {looked_up}, by `quicksilver cost diff`; docs/cost.md says what is assumed.",
            "",
        ]
    )


def _row(change: Change) -> str:
    return f"{cents(change.before):,} | {cents(change.after):,} | {signed(change.by)}"


def signed(dollars: Decimal) -> str:
    """A change in dollars, with its sign where it is one."""
    rounded = cents(dollars)
    return f"{rounded:+,}" if rounded else "0.00"
