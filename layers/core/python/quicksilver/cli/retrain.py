"""``quicksilver retrain``: requests for a new model, what became of each, and one more by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.model_registry import facts
from quicksilver.cli.output import JsonOption, emit, explains_errors
from quicksilver.cli.stage import (
    EndpointOption,
    PersonOption,
    ReasonOption,
    StageOption,
    YesOption,
    confirm,
    deployed_stage,
)
from quicksilver.errors import NotFound, Unavailable
from quicksilver.model_version import who
from quicksilver.monitoring_announcements import ArchivePlace, MonitoringAnnouncements
from quicksilver.retraining.progress import Progress, State, progress
from quicksilver.retraining.trigger import Requests, Trigger
from quicksilver.retraining.workspace import TRAINING_PREFIX

app = typer.Typer(no_args_is_help=True, help="Ask for a new model, and see what became of requests.")

STYLES = {State.FAILED: "bold red", State.RUNNING: "yellow", State.ASKED: "yellow"}


@app.command("list", epilog="Example: quicksilver retrain list --endpoint card-fraud")
@explains_errors
def list_(
    endpoint: EndpointOption,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many, the latest first.")] = 20,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """List an endpoint's requests for a new model, the latest first, and how far each has come."""
    deployed = deployed_stage(stage)
    requests = Requests(endpoint, deployed.monitoring)
    latest = [requests.get(name) for name in requests.names[::-1][:limit]]
    found = [progress(deployed.monitoring, deployed.executions, request) for request in latest]

    def render() -> RenderableType:
        if not found:
            return Text(f"Nobody has asked for a new model of {endpoint} yet.")
        table = Table(
            *(Column(name, overflow="fold") for name in ("request", "asked at", "by", "state", "came to"))
        )
        for each in found:
            request = each.request
            table.add_row(
                request.id, request.requested_at, who(request.requested_by or "the schedule"), _state(each),
                Text(each.sentence),
            )  # fmt: skip
        return table

    emit([_content(each) for each in found], as_json=as_json, render=render)


@app.command(epilog="Example: quicksilver retrain show card-fraud-000001")
@explains_errors
def show(
    request_id: Annotated[str, typer.Argument(help="A request, for example card-fraud-000001.")],
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Show one request: why it was made, on what evidence, and what came of it."""
    deployed = deployed_stage(stage)
    endpoint = request_id.rpartition("-")[0]
    if not endpoint:
        raise NotFound(f"There is no request {request_id}; requests are named like card-fraud-000001.")
    request = Requests(endpoint, deployed.monitoring).get(request_id)
    found = progress(deployed.monitoring, deployed.executions, request)
    emit(_content(found), as_json=as_json, render=lambda: _shown(found, deployed))


@app.command(
    epilog='Example: quicksilver retrain request --endpoint card-fraud --reason "New merchants since Monday."'
)
@explains_errors
def request(
    endpoint: EndpointOption,
    reason: ReasonOption,
    stage: StageOption = "local",
    person: PersonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for a new model now, whatever the evidence and the hour. It ends in shadow at most, and answers nobody."""
    deployed = deployed_stage(stage, person)
    caller = deployed.caller()
    policies, clock = deployed.drift_policies, SystemClock()
    confirm(
        f"Ask for a new model of {endpoint} in stage {stage}, as {caller}: it is trained, gated and put in shadow, and answers "
        "nobody. The cool-down begins anew.",
        yes=yes,
    )
    trigger = Trigger(stage, deployed.monitoring, deployed.registry_store, policies, clock)
    made = trigger.request(endpoint, reason=reason, who=caller)
    place = ArchivePlace(deployed.outputs["ArchiveBucket"], deployed.session.region_name)
    announcements = MonitoringAnnouncements(
        stage, deployed.monitoring, deployed.announcer, policies, place, clock
    )
    try:
        announcements.catch_up(endpoint)
    except Unavailable as error:
        error.add_note(
            f"The request {made.id} is made all the same, and announced by the next scheduled run."
        )
        raise
    found = Progress(request=made, state=State.ASKED)
    emit(_content(found), as_json=as_json, render=lambda: _shown(found, deployed))


def _content(found: Progress) -> dict[str, object]:
    return found.model_dump(mode="json")


def _state(found: Progress) -> Text:
    words = found.ending.kind.value.replace("_", " ") if found.ending else found.state.value
    return Text(words, style=STYLES.get(found.state, ""))


def _shown(found: Progress, deployed: DeployedStage) -> RenderableType:
    request = found.request
    lines = {
        "request": request.id,
        "asked": f"{request.requested_at} by {who(request.requested_by or 'the schedule')}",
        "why": request.reason,
        "to follow": request.champion,
        "training set": f"{request.training_set.start} to {request.training_set.end}",
        "workspace": f"s3://{deployed.outputs['ArchiveBucket']}/{TRAINING_PREFIX}{request.endpoint}/{request.id}/",
    }
    if found.execution:
        lines["execution"] = found.execution
    lines["state"] = _state(found).plain
    if found.sentence:
        lines["came to"] = found.sentence
    if found.ending and found.ending.failed_checks:
        lines["failed checks"] = ", ".join(found.ending.failed_checks)
    parts: list[RenderableType] = [facts(lines)]
    if request.evidence:
        table = Table(
            "window", "", Column("evidence", overflow="fold"), title="Evidence", title_justify="left"
        )
        for evidence in request.evidence:
            table.add_row(evidence.start, evidence.kind, Text("\n".join(evidence.sentences)))
        parts.append(table)
    return Group(*parts)
