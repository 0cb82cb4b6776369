"""``quicksilver experiment``: a challenger beside the champion, judged by outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.cli.output import JsonOption, emit, explains_errors, write_page
from quicksilver.cli.rollout_plan import duration_seconds
from quicksilver.cli.route import percent, route_view, typed_share_bp
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidInput, Unavailable
from quicksilver.experiment_plan import Conclusion, Costs, Experiment, Measure, TermsWanted
from quicksilver.routing import FULL_SHARE_BP, Route

app = typer.Typer(no_args_is_help=True, help="Compare a challenger with the champion, by outcomes.")


@app.command(
    epilog='Example: quicksilver experiment start --endpoint card-fraud --challenger card-fraud@15 --share 10 --reason "New graph features."'
)
@explains_errors
def start(
    endpoint: EndpointOption,
    challenger: Annotated[str, typer.Option("--challenger", help="An approved model version.")],
    share: Annotated[
        str, typer.Option("--share", help="Its share of the entities outside the holdout, in %.")
    ],
    reason: ReasonOption,
    holdout: Annotated[
        str | None,
        typer.Option(
            "--holdout", help="Entities that always see the champion, in %.", show_default="as it is"
        ),
    ] = None,
    primary: Annotated[
        Measure, typer.Option("--primary", help="The measure that decides.")
    ] = Measure.EXPECTED_LOSS,
    minimum_effect: Annotated[
        float,
        typer.Option(
            "--minimum-effect", help='The least difference worth having; with 0 never "no difference".'
        ),
    ] = 0.0,
    alpha: Annotated[
        float, typer.Option("--alpha", help="How often alike arms may ever be told apart.")
    ] = 0.05,
    missed_bad: Annotated[
        int | None,
        typer.Option("--missed-bad", help="What it costs to approve a bad.", show_default="by the cut-off"),
    ] = None,
    declined_good: Annotated[
        int | None,
        typer.Option(
            "--declined-good", help="What it costs to decline a good.", show_default="by the cut-off"
        ),
    ] = None,
    ripe_after: Annotated[
        str, typer.Option("--ripe-after", help="The age from which an outcome counts: 90m, 12h, 7d.")
    ] = "7d",
    planned: Annotated[
        int, typer.Option("--planned", help="Entities with an outcome at which to be tightest.")
    ] = 50_000,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a challenger a share of the entities. How it will be judged is fixed from here on."""
    if (missed_bad is None) != (declined_good is None):
        lacking = "--missed-bad" if missed_bad is None else "--declined-good"
        raise InvalidInput("Costs come in pairs.", [FieldError(lacking, "must be given too")])
    content = {
        "primary": primary,
        "minimum_effect": minimum_effect,
        "alpha": alpha,
        "ripe_after_seconds": seconds("--ripe-after", ripe_after),
        "planned_entities": planned,
    }
    try:
        if missed_bad is not None and declined_good is not None:
            content["costs"] = Costs(missed_bad=missed_bad, declined_good=declined_good)
        terms = TermsWanted.model_validate(content)
    except ValidationError as error:
        raise InvalidInput("The experiment cannot be judged so.", contract_field_errors(error)) from None
    share_bp = typed_share_bp("--share", share)
    if not 0 < share_bp < FULL_SHARE_BP:
        raise InvalidInput(
            "The experiment compares nothing.",
            [FieldError("--share", "must leave entities to both arms: above 0 and below 100 per cent")],
        )
    holdout_bp = None if holdout is None else typed_share_bp("--holdout", holdout)
    deployed = deployed_stage(stage, person)
    confirm(
        f"Start an experiment on {endpoint} in stage {stage}: {challenger} for {percent(share_bp)} of the entities, "
        f"judged by {primary} at {alpha:g} of outcomes after {ripe_after}.",
        yes=yes,
    )
    route = deployed.registry.start_experiment(
        endpoint,
        challenger,
        share_bp=share_bp,
        holdout_bp=holdout_bp,
        terms=terms,
        reason=reason,
    )
    _emit(route, as_json=as_json)


@app.command(epilog="Example: quicksilver experiment report --endpoint card-fraud --html experiment.html")
@explains_errors
def report(
    endpoint: EndpointOption,
    number: Annotated[
        int | None, typer.Option("--number", help="An earlier experiment.", show_default="the latest")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as a page, too.")] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Compare the arms by the outcomes known now. One may look as often as one likes."""
    from quicksilver.cli.experiment_report import read_report, render

    found = read_report(deployed_stage(stage), endpoint, number)
    if html is not None:
        from quicksilver.reports.experiment_page import render_experiment

        write_page(html, render_experiment(found))
    emit(found.document(), as_json=as_json, render=lambda: render(found))


@app.command(epilog='Example: quicksilver experiment stop --endpoint card-fraud --reason "No difference."')
@explains_errors
def stop(
    endpoint: EndpointOption,
    reason: ReasonOption,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Do not compute the report that goes into the history.")
    ] = False,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give every entity back to the champion. What the report says goes into the history."""
    deployed = deployed_stage(stage, person)
    experiment = _running(deployed, endpoint)
    try:
        conclusion = None if unseen else _conclusion(deployed, endpoint, experiment)
    except Unavailable as error:
        error.add_note("To stop it without its report, add --unseen.")
        raise
    confirm(f"Stop the experiment with {experiment.challenger} on {endpoint} in stage {stage}.", yes=yes)
    _emit(deployed.registry.stop_experiment(endpoint, conclusion, reason=reason), as_json=as_json)


@app.command(
    epilog='Example: quicksilver experiment promote --endpoint card-fraud --reason "It won." --as grace'
)
@explains_errors
def promote(
    endpoint: EndpointOption,
    reason: ReasonOption,
    override: Annotated[
        bool, typer.Option("--override", help="Promote what has not won; it is kept in the history as that.")
    ] = False,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the challenger the champion. What has not won needs --override, and the reason."""
    deployed = deployed_stage(stage, person)
    experiment = _running(deployed, endpoint)
    conclusion = _conclusion(deployed, endpoint, experiment)
    confirm(f"Make {experiment.challenger} the champion of {endpoint} in stage {stage}.", yes=yes)
    route = deployed.registry.promote_challenger(endpoint, conclusion, override=override, reason=reason)
    _emit(route, as_json=as_json)


def seconds(option: str, text: str) -> int:
    """A span such as ``90m`` or ``7d`` in seconds. Raises ``InvalidInput`` naming the option."""
    span = duration_seconds(text)
    if span is None:
        raise InvalidInput(
            "The span of time is not one.",
            [FieldError(option, "must be a number with s, m, h or d, such as 7d")],
        )
    return span


def _running(deployed: DeployedStage, endpoint: str) -> Experiment:
    experiment = deployed.registry.experiment(endpoint).experiment
    assert experiment is not None  # noqa: S101 - the registry answers with the route that carries one
    return experiment


def _conclusion(deployed: DeployedStage, endpoint: str, experiment: Experiment) -> Conclusion:
    from quicksilver.cli.experiment_report import read_report

    conclusion = read_report(deployed, endpoint, experiment.number).conclusion()
    typer.echo(conclusion.sentence, err=True)
    return conclusion


def _emit(route: Route, *, as_json: bool) -> None:
    emit(route.model_dump(mode="json"), as_json=as_json, render=lambda: route_view(route))
