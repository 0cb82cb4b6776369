"""What trains when a new model is asked for. A stage file chooses by ``by``: ``function``, ``sagemaker`` or ``webhook``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from stacks.config.setting import Setting, require

_IMAGE = re.compile(
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInTraining(Setting):
    """A function trains LightGBM on the exported set, within the 15 minutes and the memory that Lambda gives it."""

    by: Literal["function"] = "function"
    memory_mib: int = 4_096

    def __post_init__(self) -> None:
        require(
            1_024 <= self.memory_mib <= 10_240,
            f"Training with {self.memory_mib} MiB is not possible; it takes 1024 to 10240.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SageMakerTraining(Setting):
    """A training job of ``image`` (its URI in ECR), which is stopped after ``hours``."""

    image: str
    by: Literal["sagemaker"] = "sagemaker"
    instance_type: str = "ml.m6i.xlarge"
    volume_gib: int = 50
    hours: int = 6

    def __post_init__(self) -> None:
        require(
            _IMAGE.fullmatch(self.image) is not None,
            f"{self.image!r} is no image in Amazon ECR, such as "
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com/risk-trainer:7.",
        )
        require(
            self.instance_type.startswith("ml."),
            f"{self.instance_type!r} is no instance type of SageMaker, such as ml.m6i.xlarge.",
        )
        require(1 <= self.volume_gib <= 16_384, f"A volume of {self.volume_gib} GiB must be 1 to 16384.")
        require(1 <= self.hours <= 120, f"A training of {self.hours} hours must be 1 to 120.")


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookTraining(Setting):
    """An event asks whoever listens to train; an answer is waited for ``hours``."""

    by: Literal["webhook"] = "webhook"
    hours: int = 72

    def __post_init__(self) -> None:
        require(1 <= self.hours <= 24 * 30, f"A training of {self.hours} hours must be 1 to 720.")


Training = Annotated[BuiltInTraining | SageMakerTraining | WebhookTraining, Field(discriminator="by")]
