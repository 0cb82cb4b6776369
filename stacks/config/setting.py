"""What every setting of a stage is: frozen, given by name, checked when it is made, and readable from a stage file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict


class ConfigError(Exception):
    """The stage cannot be built; the message is one sentence for the person who typed the command."""


class Setting:
    """Base of the settings' dataclasses: a stage file may say only what they name, in exactly their types."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


def require(holds: bool, sentence: str) -> None:
    """Raise ``ConfigError`` with the sentence unless it holds."""
    if not holds:
        raise ConfigError(sentence)
