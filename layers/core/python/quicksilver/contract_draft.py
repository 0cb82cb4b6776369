"""A first contract from a training frame: types, ranges and categories as the rows show them, policies to be edited.

A draft is where a person begins, not where one ends: what it cannot know (which feature is late, what a
missing one should cost, how a reason is put to a customer) has a cautious default. Training side.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source, contract_field_errors
from quicksilver.errors import FieldError, InvalidContract, InvalidData
from quicksilver.frame import Column
from quicksilver.gates.data import TARGET
from quicksilver.training_frame import TrainingFrame, read_frame

DEFAULT_MAX_AGE_SECONDS = 86_400
MAX_CATEGORIES = 1_000
"""A column of more distinct strings is an identifier or free text."""


def draft_contract(
    frame: TrainingFrame,
    *,
    endpoint: str,
    online: Mapping[str, Sequence[str]] | None = None,
    keys: Mapping[str, str] | None = None,
    protected: Iterable[str] = (),
    leave_out: Iterable[str] = (TARGET,),
    monotone: Mapping[str, int] | None = None,
    sensitive: Iterable[str] = (),
    max_age_seconds: int | Mapping[str, int] = DEFAULT_MAX_AGE_SECONDS,
) -> Contract:
    """Draft the contract of a model trained on a frame's columns, in their order.

    - A column of booleans, whole numbers or numbers is a feature of that type. A string column is a category;
      its categories are in the order of a pandas categorical's codes, and sorted for plain strings.
    - The range is the frame's own, rounded outwards to two digits; a number that is never negative may not be.
    - Whatever cannot be used is scored as missing: which feature no decision can do without, nobody sees in rows.
    - ``online`` names the features of each feature group, for example ``{"card": ["card_count_1h"]}``; ``keys``
      the request field that keys a group, ``entity_id`` unless given; ``max_age_seconds`` is one for all, or by group.
    - ``protected`` names attributes that are monitored: a column of such a name is refused, so select or drop
      it before; ``leave_out`` names columns that are no features.

    Raises ``InvalidContract`` naming each protected attribute among the features, and each name that is not a
    column; ``InvalidData`` naming each column no feature can be drafted from.
    """
    names = [str(name) for name in frame if str(name) not in set(leave_out)]
    forbidden = tuple(protected)
    online = online or {}
    groups = {name: group for group, members in online.items() for name in members}
    _refuse(
        "A protected attribute can be monitored and never be a model input.",
        [FieldError(name, "is a protected attribute") for name in names if name in forbidden],
    )
    unknown = [name for name in (*groups, *(monotone or {}), *sensitive) if name not in names]
    _refuse(
        "The draft names what the frame does not have.",
        [FieldError(name, "is no feature") for name in unknown],
    )
    columns = read_frame(frame, names)
    errors: list[FieldError] = []
    features = []
    ages = max_age_seconds if isinstance(max_age_seconds, Mapping) else dict.fromkeys(online, max_age_seconds)
    for name in names:
        group = groups.get(name)
        try:
            shape = _shape(name, columns[name], frame[name])
        except InvalidData as error:
            errors.extend(error.fields)
            continue
        features.append(
            {
                "name": name,
                **shape,
                "source": Source.REQUEST if group is None else Source.ONLINE,
                "group": group,
                "max_age_seconds": None if group is None else ages.get(group, DEFAULT_MAX_AGE_SECONDS),
                "missing": MissingPolicy.MISSING,
                "monotone": (monotone or {}).get(name, 0),
                "sensitive": name in set(sensitive),
                "reason_code": reason_code(name),
                "reason": f"The {name.replace('_', ' ')} carries risk",
            }
        )
    if errors:
        raise InvalidData("No feature can be drafted from some columns.", errors)
    try:
        return Contract(
            endpoint=endpoint,
            groups={group: (keys or {}).get(group, "entity_id") for group in online},
            features=tuple(Feature.model_validate(feature) for feature in features),
            protected=forbidden,
        )
    except ValidationError as error:
        raise InvalidContract("The drafted contract is not valid.", contract_field_errors(error)) from None


def edit_contract(contract: Contract, features: Mapping[str, Mapping[str, Any]], **more: Any) -> Contract:
    """A contract with some members of some features changed, and of the contract itself: ``top_reasons=3``.

        edit_contract(draft, {"amount": {"missing": "reject", "reason": "The amount is unusual"}})

    Raises ``InvalidContract`` naming each feature that is not there, and each value that cannot be.
    """
    unknown = [FieldError(name, "is no feature") for name in features if name not in contract.names]
    _refuse("The edit names what the contract does not have.", unknown)
    content = contract.model_dump()
    content["features"] = [
        {**feature, **features.get(feature["name"], {})} for feature in content["features"]
    ]
    try:
        return Contract.model_validate({**content, **more})
    except ValidationError as error:
        raise InvalidContract("The edited contract is not valid.", contract_field_errors(error)) from None


def reason_code(name: str) -> str:
    """A feature's name as a reason code: upper case, at most 32 characters."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())[:32].ljust(2, "_")


def _shape(name: str, column: Column, given: object) -> dict[str, object]:
    """The type of a column and what its values may be."""
    values = column.values[column.present]
    if not len(values):
        raise InvalidData("", [FieldError(name, "is missing in every row")])
    if column.labels is not None:
        ordered = getattr(getattr(given, "cat", None), "categories", None)
        categories = tuple(column.labels) if ordered is None else tuple(str(c) for c in ordered)
        if len(categories) > MAX_CATEGORIES:
            raise InvalidData(
                "", [FieldError(name, f"has {len(categories)} distinct strings, more than a category has")]
            )
        return {"type": FeatureType.CATEGORY, "categories": categories}
    if values.dtype.kind == "b":
        return {"type": FeatureType.BOOLEAN}
    if not np.isfinite(values).all():
        raise InvalidData("", [FieldError(name, "must be finite where present")])
    low, high = float(values.min()), float(values.max())
    # pandas turns whole numbers with gaps into floats; a fraction anywhere shows a real one.
    whole = bool((values == np.floor(values)).all())
    return {
        "type": FeatureType.INTEGER if whole else FeatureType.NUMBER,
        "minimum": 0.0 if low >= 0 else -_outwards(-low),
        "maximum": _outwards(high) if high > 0 else 0.0,
    }


def _outwards(value: float) -> float:
    """The next number of two digits at or above a positive one: 1,234 becomes 1,300."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    rounded = math.ceil(value / step) * step
    # Powers of ten below one are not exact; a dozen digits are more than a range needs.
    return max(float(f"{rounded:.12g}"), value)


def _refuse(sentence: str, errors: list[FieldError]) -> None:
    if errors:
        raise InvalidContract(sentence, errors)
