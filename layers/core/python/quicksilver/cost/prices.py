"""The price table of a region: what AWS asks for a unit of each thing that a stage uses, and when that was looked up."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from quicksilver.contract import contract_field_errors
from quicksilver.errors import FieldError, InvalidInput, NotFound

TABLES = files("quicksilver.cost") / "price_tables"


class Charge(StrEnum):
    """Each thing that AWS charges for by a price of its own. A table names them all and no others."""

    API_REQUESTS = "api_requests"
    LAMBDA_REQUESTS = "lambda_requests"
    LAMBDA_ARM64 = "lambda_arm64"
    LAMBDA_X86_64 = "lambda_x86_64"
    LAMBDA_PROVISIONED_ARM64 = "lambda_provisioned_arm64"
    LAMBDA_PROVISIONED_X86_64 = "lambda_provisioned_x86_64"
    LAMBDA_ON_PROVISIONED_ARM64 = "lambda_on_provisioned_arm64"
    LAMBDA_ON_PROVISIONED_X86_64 = "lambda_on_provisioned_x86_64"
    LAMBDA_STORAGE = "lambda_storage"
    LAMBDA_SNAPSHOTS = "lambda_snapshots"
    LAMBDA_RESTORES = "lambda_restores"
    DYNAMODB_READS = "dynamodb_reads"
    DYNAMODB_WRITES = "dynamodb_writes"
    DYNAMODB_STORAGE = "dynamodb_storage"
    DYNAMODB_RECOVERY = "dynamodb_recovery"
    KINESIS_STREAM = "kinesis_stream"
    KINESIS_SHARD = "kinesis_shard"
    KINESIS_IN = "kinesis_in"
    KINESIS_OUT = "kinesis_out"
    KINESIS_KEPT = "kinesis_kept"
    FIREHOSE_IN = "firehose_in"
    FIREHOSE_CONVERTED = "firehose_converted"
    FIREHOSE_PARTED = "firehose_parted"
    FIREHOSE_PARTED_OBJECTS = "firehose_parted_objects"
    FIREHOSE_JQ = "firehose_jq"
    S3_STORAGE = "s3_storage"
    S3_PUTS = "s3_puts"
    KMS_KEYS = "kms_keys"
    LOGS_IN = "logs_in"
    LOGS_KEPT = "logs_kept"
    LOGS_MASKED = "logs_masked"
    CLOUDWATCH_SERIES = "cloudwatch_series"
    CLOUDWATCH_ALARMS = "cloudwatch_alarms"
    CLOUDWATCH_COMPOSITES = "cloudwatch_composites"
    CLOUDWATCH_DASHBOARDS = "cloudwatch_dashboards"
    WAF_ACLS = "waf_acls"
    WAF_RULES = "waf_rules"
    WAF_REQUESTS = "waf_requests"
    ATHENA_SCANNED = "athena_scanned"
    STATE_TRANSITIONS = "state_transitions"
    ROUTE53_HEALTH_CHECKS = "route53_health_checks"
    ROUTE53_HEALTH_CHECK_OPTIONS = "route53_health_check_options"


def _exact(value: object) -> Decimal:
    if not isinstance(value, str):
        raise ValueError('must be written as text, such as "0.20": a number in TOML is not exact')
    try:
        return Decimal(value)
    except ArithmeticError:
        raise ValueError("is no decimal number") from None


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Written):
    """Dollars for one ``unit``. ``seen`` is where the figure was read; one that is not verified says for what ``reason``."""

    dollars: Annotated[Decimal, BeforeValidator(_exact), Field(gt=0, allow_inf_nan=False)]
    unit: Literal["request", "unit", "hour", "month", "GB", "GB-s", "GB-month", "object", "step"]
    source: Annotated[str, Field(min_length=1)]
    seen: str = ""
    verified: bool = True
    reason: str = ""

    @model_validator(mode="after")
    def _says_why_or_where(self) -> Self:
        if self.verified == (not self.seen) or self.verified == bool(self.reason):
            raise ValueError("says where it was seen if it is verified, and else the reason why not")
        return self


class PriceTable(_Written):
    """The prices of a region as they were on the day they were looked up."""

    schema_version: Literal[1]
    region: Annotated[str, Field(pattern=r"[a-z]{2}(-[a-z]+)+-\d")]
    looked_up: date
    prices: Mapping[Charge, Price]

    @model_validator(mode="after")
    def _prices_everything(self) -> Self:
        missing = [charge.value for charge in Charge if charge not in self.prices]
        if missing:
            raise ValueError(f"has no price of {', '.join(missing)}")
        return self

    @classmethod
    def from_toml(cls, text: str) -> PriceTable:
        """Read a price table. Raises ``InvalidInput`` naming each field and its reason."""
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput("The price table is not TOML.", [FieldError("(file)", str(error))]) from None
        except ValidationError as error:
            raise InvalidInput("The price table is not valid.", contract_field_errors(error)) from None

    def unverified(self, charges: Iterable[Charge]) -> list[str]:
        """Which of these were seen nowhere that day, one sentence for each reason."""
        by_reason: dict[str, list[str]] = {}
        for charge in sorted(set(charges)):
            price = self.prices[charge]
            if not price.verified:
                by_reason.setdefault(price.reason, []).append(charge.value)
        return [f"Not verified: {', '.join(names)} ({reason})." for reason, names in by_reason.items()]


def regions() -> list[str]:
    """The regions that have a table."""
    return sorted(file.name.removesuffix(".toml") for file in TABLES.iterdir() if file.name.endswith(".toml"))


def prices_of(region: str) -> PriceTable:
    """The table of a region. Raises ``NotFound`` for one without."""
    if region not in regions():
        raise NotFound(f"There is no price table of {region!r}; there is one of {', '.join(regions())}.")
    return PriceTable.from_toml((TABLES / f"{region}.toml").read_text(encoding="utf-8"))
