"""What a stage has to do: decisions a second by endpoint, and what is assumed of each, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidInput

SECONDS_A_MONTH = 730 * 3_600
"""AWS's own month of 730 hours."""

MOST_REQUESTS_PER_SECOND = 1_000_000

Share = Annotated[Decimal, Field(ge=0, le=1)]
Amount = Annotated[Decimal, Field(ge=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class Assumptions(BaseModel):
    """What no template says. Each can be set by its name; the descriptions say what the defaults rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    billed_ms: Amount = Field(
        Decimal(25), description="ms billed a decision, the work after the answer included"
    )
    feature_groups: Count = Field(3, description="feature items read a decision, of at most 4 KB each")
    record_bytes: Amount = Field(Decimal(2560), description="bytes a prediction record (measured: make demo)")
    log_bytes: Amount = Field(
        Decimal(1300), description="bytes a decision logs: access log, metrics, platform"
    )
    log_compression: Share = Field(Decimal("0.15"), description="of logged bytes that are kept compressed")
    idempotent: Share = Field(Decimal(0), description="share of decisions under an idempotency key")
    arms: Count = Field(2, description="arms an endpoint's route has")
    shadows: Count = Field(0, description="shadows an endpoint has")
    shadow_bytes: Amount = Field(Decimal(380), description="bytes a shadow's score takes in the archive")
    utilisation: Share = Field(
        Decimal("0.7"), description="of provisioned concurrency in use, where it scales"
    )
    restores: Share = Field(
        Decimal("0.001"), description="share of decisions that start an environment from a snapshot"
    )
    archive_months: Amount = Field(Decimal(1), description="months of records that the archive holds")
    run_ms: Amount = Field(Decimal(200), description="ms billed a scheduled run that finds nothing to do")
    judging_ms_a_million: Amount = Field(
        Decimal(5_000), description="ms to judge a million predictions (make bench-drift)"
    )
    scans: Count = Field(3, description="times that judging reads a record through Athena, where it does")
    rollup_ms: Amount = Field(Decimal(50), description="ms billed a batch of the rollup, before its records")
    rollup_us_a_record: Amount = Field(Decimal(50), description="microseconds billed for each record in it")
    shadow_ms: Amount = Field(Decimal(60), description="ms billed a batch of the shadow function")
    shadow_us_a_record: Amount = Field(
        Decimal(80), description="microseconds for each record and shadow in it"
    )
    jq_us: Amount = Field(Decimal(50), description="microseconds Firehose takes to read a record's endpoint")
    retrainings: Count = Field(1, description="new models asked for a month and endpoint")
    retraining_steps: Count = Field(20, description="steps of the state machine for one of them")
    retraining_ms: Amount = Field(Decimal(300_000), description="ms billed for each function that takes part")

    def with_changes(self, changes: Mapping[str, str]) -> Assumptions:
        """These, with some set by name. Raises ``InvalidInput`` naming what cannot be."""
        try:
            return Assumptions.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            raise InvalidInput("That cannot be assumed.", contract_field_errors(error)) from None


@dataclass(frozen=True, slots=True)
class Workload:
    """``requests_per_second`` decisions, shared out between the endpoints; without ``shares``, equally."""

    requests_per_second: Decimal
    shares: Mapping[str, Decimal]
    assumptions: Assumptions

    def at(self, requests_per_second: Decimal) -> Workload:
        return Workload(requests_per_second, self.shares, self.assumptions)

    @property
    def decisions(self) -> Decimal:
        """Decisions a month."""
        return self.requests_per_second * SECONDS_A_MONTH

    def of(self, endpoint: str) -> Decimal:
        """The endpoint's requests a second."""
        return self.requests_per_second * self.shares[endpoint]


def workload(
    requests_per_second: Decimal,
    endpoints: Iterable[str],
    *,
    percents: Mapping[str, Decimal] | None = None,
    assumptions: Assumptions | None = None,
) -> Workload:
    """The workload of a stage. Raises ``InvalidInput`` for a rate or for shares (percent by endpoint) that cannot be."""
    names = list(endpoints)
    # As it is compared, NaN would raise; it is not finite either.
    if not requests_per_second.is_finite() or not 0 < requests_per_second <= MOST_REQUESTS_PER_SECOND:
        raise InvalidInput(
            "That is no rate of requests.",
            [FieldError("--requests-per-second", f"must be above 0 and at most {MOST_REQUESTS_PER_SECOND}")],
        )
    equal = {name: Decimal(1) / len(names) for name in names}
    shares = _shares(percents, names) if percents else equal
    return Workload(requests_per_second, shares, assumptions or Assumptions())


def _shares(percents: Mapping[str, Decimal], names: list[str]) -> dict[str, Decimal]:
    for name, percent in percents.items():
        if name not in names:
            raise InvalidInput(
                "The shares cannot be.",
                [FieldError("--share", f"{name} is no endpoint of this stage; it has {', '.join(names)}")],
            )
        if not percent.is_finite() or percent < 0:
            raise InvalidInput(
                "The shares cannot be.", [FieldError("--share", f"{name} has less than nothing")]
            )
    if sum(percents.values()) != 100:
        raise InvalidInput(
            "The shares cannot be.", [FieldError("--share", "they must add up to 100 percent")]
        )
    return {name: percents.get(name, Decimal(0)) / 100 for name in names}
