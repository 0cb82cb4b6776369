"""``quicksilver cost``: what a stage costs, from its synthesized templates and a dated price table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.cli.output import JsonOption, emit, explains_errors, write_page
from quicksilver.cost.assembly import Assembly, read_assembly
from quicksilver.cost.bill import Bill, bill, cents
from quicksilver.cost.difference import Difference, difference, signed, to_markdown
from quicksilver.cost.prices import PriceTable, prices_of
from quicksilver.cost.workload import Assumptions, Workload, workload
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.local import checkout

EXAMPLE = "Example: quicksilver cost --stage prod --requests-per-second 100"

SOURCES = ("app.py", "cdk.json", "stacks", "lambdas", "policies", "layers")
"""What ``make synth`` makes the templates of."""

app = typer.Typer(epilog=EXAMPLE, invoke_without_command=True)

RateOption = Annotated[
    str, typer.Option("--requests-per-second", help="Decisions a second, of all endpoints together.")
]
StageNameOption = Annotated[str, typer.Option("--stage", help="The stage whose templates are priced.")]
RegionOption = Annotated[str, typer.Option("--region", help="The region whose price table is used.")]
ShareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--share",
        metavar="ENDPOINT=PERCENT",
        help="An endpoint's part of the decisions; repeat it.",
        show_default="equal",
    ),
]
AssumeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--assume", metavar="NAME=NUMBER", help="Assume another value; repeat it. The table names all."
    ),
]


@app.callback(epilog=EXAMPLE)
@explains_errors
def cost(
    context: typer.Context,
    stage: StageNameOption = "prod",
    requests_per_second: RateOption = "100",
    share: ShareOption = None,
    assume: AssumeOption = None,
    region: RegionOption = "us-east-1",
    assembly: Annotated[
        Path | None,
        typer.Option("--assembly", help="The stage's cloud assembly.", show_default="build/synth/STAGE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a stage costs: a month idle, a month at a rate, and for each million decisions.

    It prices what make synth writes, by AWS's list prices as they were on the day that it names.
    """
    if context.invoked_subcommand is not None:
        return
    prices = prices_of(region)
    found = read_assembly(assembly or _synthesized(stage), stage)
    priced = bill(found, prices, _workload(found, requests_per_second, share, assume))
    emit(_as_data(priced, prices), as_json=as_json, render=lambda: _bill_page(priced, prices))


@app.command(epilog="Example: quicksilver cost diff build/base build/synth --markdown cost.md")
@explains_errors
def diff(
    base: Annotated[
        Path, typer.Argument(help="The cloud assembly before, or a folder of one for each stage.")
    ],
    head: Annotated[
        Path, typer.Argument(help="The cloud assembly after, or a folder of one for each stage.")
    ],
    stage: StageNameOption = "prod",
    requests_per_second: RateOption = "100",
    share: ShareOption = None,
    assume: AssumeOption = None,
    region: RegionOption = "us-east-1",
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write it here too, for a pull request.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a change of the templates does to a stage's bill, both by the same prices and workload."""
    prices = prices_of(region)
    before, after = (
        bill(found, prices, _workload(found, requests_per_second, share, assume))
        for found in (read_assembly(_of_stage(folder, stage), stage) for folder in (base, head))
    )
    found = difference(before, after)
    if markdown is not None:
        write_page(markdown, to_markdown(found, region=region, looked_up=prices.looked_up.isoformat()))
    data = {
        "stage": stage,
        "requests_per_second": requests_per_second,
        "totals": _changes(found),
        "lines": [_change(change.what, change.before, change.after) for change in found.lines],
    }
    emit(data, as_json=as_json, render=lambda: _difference_page(found))


def _of_stage(folder: Path, stage: str) -> Path:
    return folder / stage if (folder / stage).is_dir() else folder


def _synthesized(stage: str) -> Path:
    """Where ``make synth`` leaves a stage. Raises ``InvalidInput`` where it is not, or is older than its sources."""
    root = checkout()
    made = root / "build" / "synth" / ".ready"
    folder = made.parent / stage
    if not folder.is_dir() or not made.is_file():
        # A stage that is no stage is not there either, however often it is made.
        stages = root / "stacks" / "stages"
        if stages.is_dir() and not (stages / f"{stage}.toml").is_file():
            names = ", ".join(sorted(path.stem for path in stages.glob("*.toml")))
            raise InvalidInput(f"There is no stage {stage!r}; choose one of {names}.")
        raise _to_be_synthesized(f"The templates of stage {stage} are not there")
    if any(path.stat().st_mtime > made.stat().st_mtime for path in _sources(root)):
        raise _to_be_synthesized(f"The templates of stage {stage} are older than what they are made of")
    return folder


def _to_be_synthesized(sentence: str) -> InvalidInput:
    return InvalidInput(f"{sentence}: run make synth, or name others with --assembly.")


def _sources(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        for path in (root / name).rglob("*") if (root / name).is_dir() else [root / name]:
            built = {".build", "__pycache__"} & set(path.relative_to(root).parts)
            if path.is_file() and not built and path.suffix not in (".pyc", ".so"):
                yield path


def _workload(
    assembly: Assembly, rate: str, share: Sequence[str] | None, assume: Sequence[str] | None
) -> Workload:
    assumptions = Assumptions().with_changes(dict(_pairs("--assume", assume)))
    percents = {name: _number("--share", text) for name, text in _pairs("--share", share)}
    return workload(
        _number("--requests-per-second", rate),
        assembly.endpoints,
        percents=percents,
        assumptions=assumptions,
    )


def _pairs(option: str, given: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    for text in given or ():
        name, is_one, value = text.partition("=")
        if not is_one:
            raise InvalidInput("That is no name and number.", [FieldError(option, f"{text!r} has no =")])
        yield name, value


def _number(option: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidInput("That is no number.", [FieldError(option, f"{text!r} is no number")]) from None


def _as_data(priced: Bill, prices: PriceTable) -> dict[str, Any]:
    return {
        "stage": priced.stage,
        "region": prices.region,
        "prices_of": prices.looked_up.isoformat(),
        "requests_per_second": str(priced.workload.requests_per_second),
        "idle_dollars_a_month": str(cents(priced.idle)),
        "dollars_a_month": str(cents(priced.dollars)),
        "dollars_a_million": str(cents(priced.per_million())),
        "lines": [
            {
                "what": line.what,
                "charge": line.charge.value,
                "unit": line.unit,
                "price": f"{line.price:f}",
                "idle_quantity": f"{line.idle_quantity:.3f}",
                "quantity": f"{line.quantity:.3f}",
                "idle_dollars": f"{line.idle:.4f}",
                "dollars": f"{line.dollars:.4f}",
                "dollars_a_million": f"{priced.per_million(line):.4f}",
            }
            for line in priced.lines
        ],
        "assumptions": {name: str(value) for name, value in priced.workload.assumptions},
        "shares": {name: f"{share * 100:.2f}" for name, share in priced.workload.shares.items()},
        "notes": prices.unverified(line.charge for line in priced.lines),
    }


def _bill_page(priced: Bill, prices: PriceTable) -> RenderableType:
    rate = f"{priced.workload.requests_per_second.normalize():f}"
    table = Table(
        "what", Column("a month", justify="right"), "of", Column("$ each", justify="right"),
        Column("$ idle", justify="right"), Column(f"$ at {rate}/s", justify="right"),
        Column("$ a million", justify="right"),
        box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    for line in priced.lines:
        table.add_row(
            line.what, f"{line.quantity:,.0f}", line.unit, f"{line.price.normalize():f}",
            f"{cents(line.idle):,}", f"{cents(line.dollars):,}", f"{priced.per_million(line):.3f}",
        )  # fmt: skip
    table.add_row(
        "together", "", "", "", f"{cents(priced.idle):,}", f"{cents(priced.dollars):,}",
        f"{priced.per_million():.3f}", style="bold",
    )  # fmt: skip
    heading = f"Stage {priced.stage}, {prices.region}, list prices of {prices.looked_up.isoformat()}, in US dollars a month of 730 hours."
    return Group(Text(heading), Text(), table, Text(), *_notes(priced, prices))


def _notes(priced: Bill, prices: PriceTable) -> Iterator[RenderableType]:
    shares = ", ".join(f"{name} {share * 100:.0f}%" for name, share in priced.workload.shares.items())
    yield Text(f"Decisions: {shares}. A million is what it adds to idle.")
    yield Text("Assumed, and changed by --assume NAME=NUMBER:")
    table = Table(
        Column(no_wrap=True), Column(justify="right"), Column(), show_header=False, box=None, pad_edge=False
    )
    for name, field in Assumptions.model_fields.items():
        value = getattr(priced.workload.assumptions, name)
        table.add_row(name, f"{value}", field.description)
    yield table
    notes = prices.unverified(line.charge for line in priced.lines)
    if notes:
        yield Text()
    # They may be longer than the table is wide.
    yield from (Text(textwrap.fill(note, 100)) for note in notes)


def _changes(found: Difference) -> list[dict[str, str]]:
    return [_change(change.what, change.before, change.after) for change in found.totals]


def _change(what: str, before: Decimal, after: Decimal) -> dict[str, str]:
    return {"what": what, "before": str(cents(before)), "after": str(cents(after))}


def _difference_page(found: Difference) -> RenderableType:
    table = Table(
        "$", *(Column(name, justify="right") for name in ("before", "after", "change")),
        box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    for change in (*found.totals, *found.lines):
        table.add_row(change.what, f"{cents(change.before):,}", f"{cents(change.after):,}", signed(change.by))
    return table
