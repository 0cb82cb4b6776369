"""``quicksilver score``: one request through the deployed API, as a decision engine would send it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quicksilver.cli.output import JsonOption, emit, explains_errors, fail
from quicksilver.cli.stage import EndpointOption, StageOption, deployed_stage
from quicksilver.errors import FieldError, InvalidInput
from quicksilver.idempotency import STATUS_HEADER
from quicksilver.reasons import Wanted

EXAMPLE = "Example: quicksilver score --endpoint card-fraud --entity card_000042 --set amount=812.50 --set channel=ecommerce"


@explains_errors
def score(
    endpoint: EndpointOption,
    entity: Annotated[str, typer.Option("--entity", help="The entity the decision is about.")],
    features: Annotated[
        list[str] | None,
        typer.Option("--set", help="A request feature, NAME=VALUE. VALUE is JSON, or else text."),
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="The row of another feature group, NAME=KEY.")
    ] = None,
    reasons: Annotated[
        Wanted, typer.Option(help="The reasons to give: as many as the contract says, all, or none.")
    ] = Wanted.TOP,
    deadline_ms: Annotated[
        int | None,
        typer.Option("--deadline-ms", min=1, max=999_999, help="Answer sooner than the endpoint has to."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="Ask again under the same key and get the same answer, where the endpoint keeps keys."
        ),
    ] = None,
    stage: StageOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Score one request through the API and show score, reasons and provenance."""
    request = {
        "entity_id": entity,
        "keys": dict(_pair(item, "--key") for item in keys or ()),
        "features": {name: _value(text) for name, text in (_pair(item, "--set") for item in features or ())},
    }
    answer = deployed_stage(stage).api.score(
        endpoint, request, reasons=reasons, deadline_ms=deadline_ms, idempotency_key=idempotency_key
    )
    if answer.status != 200:
        _refused(answer.status, answer.content, as_json=as_json)
    key_status = answer.headers.get(STATUS_HEADER, "")
    emit(answer.content, as_json=as_json, render=lambda: _render(answer.content, key_status))


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise InvalidInput(
            f"{option} takes NAME=VALUE.", [FieldError(option, f"{item!r} has no name or no '='")]
        )
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _refused(status: int, problem: Any, *, as_json: bool) -> None:
    if as_json:
        emit(problem, as_json=True, render=lambda: "")
        raise typer.Exit(1)
    if not isinstance(problem, dict):
        fail(f"The API answered {status}.", str(problem))
    fields = [f"  {item['field']}: {item['reason']}" for item in problem.get("errors", ())]
    fail(f"The API answered {status}: {problem.get('detail', '')}", "\n".join(fields))


def _degraded(item: Mapping[str, str]) -> str:
    cause, policy = (item[name].replace("_", " ") for name in ("cause", "policy"))
    if "model" in item:
        return f"{item['model']} is {cause}, answered by {policy}"
    return f"{item['feature']} is {cause}, policy {policy}"


def _render(answer: Mapping[str, Any], key_status: str) -> RenderableType:
    facts = Table(show_header=False, box=None)
    facts.add_row("score", Text(f"{answer['score']:.6f}", style="bold"))
    if answer["raw_score"] is not None:
        facts.add_row("raw score", repr(answer["raw_score"]))
    facts.add_row("status", answer["status"])
    facts.add_row("model", f"{answer['model']} ({answer['arm']['role']}, route {answer['route']})")
    facts.add_row("prediction", answer["prediction_id"])
    facts.add_row("time", f"{answer['timings']['total_us'] / 1000:.1f} ms in the function")
    if key_status:
        facts.add_row("idempotency key", key_status)
    for item in answer["degraded"]:
        facts.add_row("degraded", _degraded(item))
    reasons = Table("reason", "feature", "contribution", title="Reasons", title_justify="left")
    for reason in answer["reasons"]:
        reasons.add_row(Text(reason["text"]), reason["feature"], f"{reason['contribution']:+.4f}")
    return Group(facts, reasons)
