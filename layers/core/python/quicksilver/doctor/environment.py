"""Whether a function is told what it needs: its deployed environment, read by the settings that it reads it with."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from quicksilver.doctor.finding import Problem
from quicksilver.settings import SETTINGS, ScoreSettings

_NOT_OURS = "NO_PROCESS_HAS_SUCH_VARIABLES_"
"""The prefix under which settings find nothing in the environment of this process."""


def settings_of(service: str) -> type[BaseSettings] | None:
    """What a function reads its environment with, by its name without ``quicksilver-<stage>-``; None for a stranger."""
    return ScoreSettings if service.startswith("score-") else SETTINGS.get(service)


def environment_problems(service: str, environment: Mapping[str, str]) -> list[Problem]:
    """What a function would not start with. Values are not shown: a field's name and its reason are."""
    model = settings_of(service)
    if model is None:
        return []
    source = EnvSettingsSource(model)
    source.env_vars = {name.lower(): value for name, value in environment.items()}
    try:
        model(_env_prefix=_NOT_OURS, **source())
    except ValidationError as error:
        reasons = {".".join(map(str, item["loc"])): item["msg"] for item in error.errors()}
    except ValueError as error:  # a value that is no JSON where its field needs it
        reasons = {"environment": str(error)}
    else:
        return []
    said = "; ".join(f"{field}: {reason}" for field, reason in sorted(reasons.items()))
    return [Problem(f"Its environment does not satisfy its settings: {said}.", "Deploy the stage again.")]
