"""Whether the scoring API answers whom it should and nobody else, and whether a decision is in the archive afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quicksilver.contract import Contract, Feature, FeatureType, Source
from quicksilver.doctor.finding import Finding, Health, Problem, found

PROBE_ENTITY = "quicksilver-doctor"
"""The entity of a probe: its records can be told from callers' for ever."""

_FORBIDDEN = 403
_REFUSED = 422
_OK = 200


def refuses_strangers(endpoint: str, *, unsigned: int, without_key: int) -> Iterator[Finding]:
    """The statuses of a request that nobody signed, and of one that is signed and carries no API key."""
    problems = [
        Problem(
            f"A request {how} is answered {status}, and must be refused.",
            "Take the API off its callers: somebody has changed it; then deploy again.",
        )
        for how, status in (("without a signature", unsigned), ("without an API key", without_key))
        if status != _FORBIDDEN
    ]
    yield from found(
        "api", f"{endpoint} refuses strangers", "403 without signature, 403 without key", problems
    )


def answers(endpoint: str, status: int, content: Any) -> Iterator[Finding]:
    """What a signed request with an empty body gets: the function's own refusal, so that all before it works.

    No decision is made of it and nothing is recorded.
    """
    problems = []
    if status == _FORBIDDEN:
        problems.append(
            Problem(
                f"We are refused: {_detail(content)}",
                "Ask with credentials that may call the API (execute-api:Invoke).",
            )
        )
    elif status != _REFUSED or not isinstance(content, Mapping) or "errors" not in content:
        problems.append(
            Problem(
                f"It answers {status}: {_detail(content)}",
                f"Read the log of the function score-{endpoint}, and whether its alias is there.",
            )
        )
    yield from found(
        "api", f"{endpoint} answers", "the function refuses an empty request, as it must", problems
    )


def _detail(content: Any) -> str:
    return str(content.get("detail", content) if isinstance(content, Mapping) else content)[:200]


def probe_request(contract: Contract, vector: Sequence[float]) -> dict[str, Any]:
    """A request that the contract takes, of a golden row's vector: its request features, as a caller would send them.

    Online features are of an entity that no store knows, and follow their policies.
    """
    features = {
        feature.name: _raw(feature, value)
        for feature, value in zip(contract.features, vector, strict=True)
        if feature.source is Source.REQUEST and not math.isnan(value)
    }
    keys = {field: PROBE_ENTITY for field in contract.groups.values() if field != "entity_id"}
    return {"entity_id": PROBE_ENTITY, "keys": keys, "features": features}


def _raw(feature: Feature, value: float) -> bool | int | float | str:
    if feature.type is FeatureType.CATEGORY:
        return feature.categories[int(value)]
    if feature.type is FeatureType.BOOLEAN:
        return bool(value)
    return int(value) if feature.type is FeatureType.INTEGER else value


def probed(endpoint: str, status: int, content: Any) -> Iterator[Finding]:
    """The answer to a probe: a score, by whichever rung of the ladder; a fallback's is worth a look."""
    problems = []
    if status != _OK:
        problems.append(
            Problem(
                f"The probe is answered {status}: {_detail(content)}",
                "docs/api.md says what each status means.",
            )
        )
    elif content["raw_score"] is None:
        problems.append(
            Problem(
                f"The probe is answered by a fallback ({content['status']}).",
                "The champion is not loaded: read the log of the score function.",
                Health.FAIL,
            )
        )
    said = f"{content['score']:.6f} by {content['model']}, route {content['route']}" if not problems else ""
    yield from found("api", f"{endpoint} scores", said, problems)


def archived(endpoint: str, prediction_id: str, times: int | None, waited_seconds: int) -> Iterator[Finding]:
    """How often the probe's record is in the archive; None where it did not come in time."""
    problems = []
    if times is None:
        problems.append(
            Problem(
                f"The record of {prediction_id} is not in the archive after {waited_seconds} s.",
                "A delivery takes a minute on AWS: ask again; then look at the delivery stream.",
            )
        )
    yield from found("api", f"{endpoint} is archived", f"{prediction_id} after {waited_seconds} s", problems)
