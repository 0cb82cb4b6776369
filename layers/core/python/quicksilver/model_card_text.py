"""The model card inside a package: what a person must know before approving, as Markdown.

It holds no date and no place, so the same model, contract and rows give the same card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from jinja2 import Environment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quicksilver.contract import Contract, Feature, contract_field_errors
from quicksilver.errors import InvalidPackage
from quicksilver.model_text import ModelHeader
from quicksilver.package import MODEL_CARD, Package
from quicksilver.profile import ReferenceProfile
from quicksilver.report_page import templates

MAX_PROSE = 4_000
Prose = Annotated[str, Field(min_length=1, max_length=MAX_PROSE)]
NOT_STATED = "Not stated."


class CardFacts(BaseModel):
    """What only people know of a model. Each is plain text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Prose = NOT_STATED
    owner: Prose = NOT_STATED
    data: Prose = NOT_STATED
    limits: Prose = NOT_STATED

    @classmethod
    def of(cls, facts: Mapping[str, str] | None) -> CardFacts:
        """Raises ``InvalidPackage`` naming each fact that is not one."""
        try:
            return cls.model_validate(dict(facts or {}))
        except ValidationError as error:
            raise InvalidPackage(
                "The model card's facts are not valid.", contract_field_errors(error)
            ) from None


def render_markdown(
    contract: Contract,
    header: ModelHeader,
    profile: ReferenceProfile,
    metrics: Mapping[str, float],
    facts: CardFacts,
    bad_share: float | None,
) -> str:
    """The card. ``bad_share`` is the share of reference rows with the bad outcome; ``None`` for a regression."""
    return (
        environment()
        .get_template("model_card.md.j2")
        .render(
            contract=contract,
            header=header,
            profile=profile,
            metrics=metrics,
            card=facts,
            bad_share=bad_share,
        )
    )


_ROW = re.compile(r"^\| (Purpose|Owner) \| (.*) \|$", re.MULTILINE)
_SECTION = re.compile(
    r"^## (Data|Limits)\n\n(.*?)\n\n(?=## |Protected attributes|\Z)", re.MULTILINE | re.DOTALL
)


def read_facts(package: Package) -> CardFacts:
    """What people wrote into a package's card; what another hand's card does not say is not stated."""
    text = package.files[MODEL_CARD].decode(errors="replace")
    rows = {name.lower(): value.replace("\\|", "|") for name, value in _ROW.findall(text)}
    sections = {name.lower(): value for name, value in _SECTION.findall(text)}
    found = {name: value[:MAX_PROSE] for name, value in {**rows, **sections}.items() if value.strip()}
    return CardFacts(**found)


def environment(*, autoescape: bool = False) -> Environment:
    """Templates with the filters that both cards use."""
    environment = templates(autoescape=autoescape)
    environment.filters |= {"cell": _cell, "allowed": allowed, "missing": missing, "source": source}
    return environment


def allowed(feature: Feature) -> str:
    """What values a feature may have, in words."""
    if feature.categories:
        shown = ", ".join(feature.categories[:12])
        return f"{shown}, ... ({len(feature.categories)})" if len(feature.categories) > 12 else shown
    if feature.minimum is not None and feature.maximum is not None:
        return f"{feature.minimum:g} to {feature.maximum:g}"
    if feature.minimum is not None:
        return f"at least {feature.minimum:g}"
    return f"at most {feature.maximum:g}" if feature.maximum is not None else "any"


def missing(feature: Feature) -> str:
    return feature.missing.value if feature.default is None else f"default {feature.default}"


def source(feature: Feature) -> str:
    if feature.group is None:
        return feature.source.value
    return f"{feature.source.value}: {feature.group}, at most {feature.max_age_seconds} s old"


def _cell(value: Any) -> str:
    """A value inside a table's cell: one line, with no bar that would end the cell."""
    return " ".join(str(value).split()).replace("|", "\\|")
