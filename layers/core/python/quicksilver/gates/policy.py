"""The gate policy of an endpoint: every threshold in one versioned file that people review."""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quicksilver.contract import Contract, EndpointName, FeatureName, contract_field_errors
from quicksilver.errors import FieldError, InvalidContract, InvalidPolicy

Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PerformancePolicy(_Section):
    """``min_*`` and ``max_*`` bound the candidate itself; ``*_margin`` is how much worse than the champion,
    on the same rows, still counts as non-inferior. Intervals are at ``confidence``."""

    confidence: Annotated[float, Field(ge=0.8, le=0.999)] = 0.95
    bootstrap_samples: Annotated[int, Field(ge=200, le=10_000)] = 1_000
    min_rows: Annotated[int, Field(ge=1)] = 1_000
    min_auc: Share = 0.6
    max_ece: Share = 0.05
    auc_margin: Share = 0.01
    ks_margin: Share = 0.02
    brier_margin: Share = 0.01
    log_loss_margin: Annotated[float, Field(ge=0)] = 0.02


class BiasPolicy(_Section):
    """The four-fifths rule of thumb is a policy here and no statement of law. Gaps are absolute differences.

    Groups smaller than ``min_group_size`` are shown and judged by nothing.
    """

    min_adverse_impact_ratio: Share = 0.8
    max_equal_opportunity_gap: Share = 0.1
    max_equalized_odds_gap: Share = 0.1
    max_calibration_gap: Share = 0.05
    min_group_size: Annotated[int, Field(ge=1)] = 100
    breach: Literal["warn", "fail"] = "fail"


class ConsistencyPolicy(_Section):
    monotone_rows: Annotated[int, Field(ge=1, le=10_000)] = 200
    order_rows: Annotated[int, Field(ge=1, le=10_000)] = 50


class LatencyPolicy(_Section):
    """Ratios are against the champion in the same run; where there is none, only the absolute bounds hold."""

    max_cpu_ratio: Annotated[float, Field(gt=0)] = 2.0
    max_load_ratio: Annotated[float, Field(gt=0)] = 3.0
    max_cpu_us: Annotated[int, Field(gt=0)] = 50_000
    max_package_mib: Annotated[float, Field(gt=0)] = 100.0


class Policy(_Section):
    """``cutoff`` is the endpoint's decision cut-off: a score at or above it is the adverse decision."""

    schema_version: Literal[1] = 1
    endpoint: EndpointName
    version: Annotated[int, Field(ge=1)]
    cutoff: Share
    protected: tuple[FeatureName, ...] = ()
    performance: PerformancePolicy = PerformancePolicy()
    bias: BiasPolicy = BiasPolicy()
    consistency: ConsistencyPolicy = ConsistencyPolicy()
    latency: LatencyPolicy = LatencyPolicy()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if len(set(self.protected)) != len(self.protected):
            raise ValueError("protected attributes must be distinct")
        return self

    @property
    def canonical_json(self) -> bytes:
        """UTF-8 JSON with sorted keys and no blanks, every default written out."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False
        ).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical_json).hexdigest()

    @classmethod
    def from_toml(cls, text: str) -> Policy:
        """Read a policy. Raises ``InvalidPolicy`` naming each field and its reason."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidPolicy("The policy is not TOML.", [FieldError("(file)", str(error))]) from None
        except ValidationError as error:
            raise InvalidPolicy("The policy is not valid.", contract_field_errors(error)) from None


def refuse_protected_inputs(contract: Contract, protected: tuple[str, ...]) -> None:
    """Raise ``InvalidContract`` naming each protected attribute that the contract makes a model input."""
    used = [name for name in contract.names if name in {*protected, *contract.protected}]
    if used:
        raise InvalidContract(
            "A protected attribute can be monitored and never be a model input.",
            [FieldError(f"features.{name}", "is a protected attribute") for name in used],
        )
