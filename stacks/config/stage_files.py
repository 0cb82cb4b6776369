"""``stacks/stages/<stage>.toml``: what differs from stage to stage, read and checked field by field.

Nothing is read from AWS or from the environment, which is why every stage synthesizes offline.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stacks.config.setting import ConfigError
from stacks.config.stage import Architecture, Stage

STAGES_ROOT = Path(__file__).resolve().parents[1] / "stages"

_FIRST = ("local", "dev", "staging", "prod")
_STAGE = TypeAdapter(Stage)
_UNKNOWN = "unexpected_keyword_argument"


def stage_names(root: Path = STAGES_ROOT) -> tuple[str, ...]:
    """The stages that have a file, on their way to production."""
    found = {path.stem for path in root.glob("*.toml")}
    return tuple(name for name in _FIRST if name in found) + tuple(sorted(found.difference(_FIRST)))


STAGES = stage_names()


def load_stage(name: object, root: Path = STAGES_ROOT) -> Stage:
    """The stage of that name. Raises ``ConfigError`` for a name that is missing or unknown, and for a file that says what
    cannot be: it names the file, the field and the reason."""
    known = stage_names(root)
    if not name:
        raise ConfigError(f"Name a stage: -c stage={'|'.join(known)}.")
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"There is no stage {name!r}; choose one of {', '.join(known)}.")
    file = f"{root.name}/{name}.toml"
    try:
        values = tomllib.loads((root / f"{name}.toml").read_text())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} is no TOML: {error}.") from None
    try:
        # As JSON: there a strict reader takes a name for an enum and a list for a tuple, and nothing else for anything else.
        return _STAGE.validate_json(
            json.dumps({"name": name, **_of_the_machine(values), **values}, default=str)
        )
    except ValidationError as error:
        raise ConfigError(f"{file}: {_sentence(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def _of_the_machine(values: dict[str, Any]) -> dict[str, str]:
    """An emulator runs functions under the interpreter and on the processor of this machine."""
    if values.get("emulated") is not True:
        return {}
    return {
        "architecture": Architecture.of_this_machine().value,
        "runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
    }


def _sentence(error: ValidationError) -> str:
    """A name that is no setting before one that is missing: it is most often the same one, misspelt."""
    found = error.errors(include_url=False)
    first = next((item for item in found if item["type"] == _UNKNOWN), found[0])
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == _UNKNOWN:
        return f"{field} is no setting."
    reason = first["msg"]
    return f"{field}: {reason[0].lower()}{reason[1:]}."
