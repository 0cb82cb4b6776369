"""A model version: an immutable registered model package, and how one is named."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import EndpointName

MODEL_NAME = re.compile(r"^([a-z][a-z0-9-]{0,38}[a-z0-9])@([1-9][0-9]{0,8})$")
"""A model version as people write it, ``card-fraud@12``: its endpoint and its number."""

ModelName = Annotated[str, Field(pattern=MODEL_NAME.pattern)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelVersion(BaseModel):
    """An immutable registered model package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: EndpointName
    number: Annotated[int, Field(ge=1)]
    package_sha256: Sha256
    fingerprint: Sha256
    author: Annotated[str, Field(min_length=1)]
    registered_at: str

    @property
    def name(self) -> str:
        return f"{self.endpoint}@{self.number}"
