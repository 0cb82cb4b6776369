"""What each function is told by its environment. Read once, in ``bootstrap``; never at import.

The stacks write exactly these variables, and a test checks each synthesized environment against its
model: a function that starts is a function that is configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from quicksilver.contract import EndpointName
from quicksilver.drift_policy import DriftPolicy
from quicksilver.gates.policy import Policy
from quicksilver.rollup_counts import KEEP_DAYS

Name = Annotated[str, Field(min_length=1)]

AFTER_ANSWER_SECONDS = 14
"""The longest that the work after an answer takes when everything it calls hangs (see ``bootstrap``).

A function's timeout must leave room for it, before the response and after it alike: an environment that
is killed loses what it holds.
"""


class ScoreSettings(BaseSettings):
    """The score function of one endpoint."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    endpoint: EndpointName
    features_table: Name
    registry_table: Name
    predictions_stream: Name
    models_bucket: Name
    archive_bucket: Name
    signing_key: Name
    """The KMS key whose signature makes an approval; an arm without one is not loaded."""
    deadline_ms: Annotated[int, Field(ge=10, le=28_000)] = 1_000
    """Time from the start of a request within which every dependency must have answered."""
    batch_deadline_ms: Annotated[int, Field(ge=10, le=28_000)] = 1_000
    """The same for a batch, whose features take several reads."""
    log_before_response: bool = False
    """Whether an answer waits until the stream or the store has its record, and is refused if neither takes it."""
    timeout_seconds: Annotated[int, Field(ge=1, le=900)] = 16
    """When Lambda ends a run of this function: an attempt to answer is over by then."""
    idempotency_table: str = ""
    """Where idempotency keys are held; without it, requests with a key are refused."""
    idempotency_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How long an answer is repeated under its key."""
    route_refresh_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    """How long after the registry was asked for the route it is asked again, after an answer."""
    route_max_age_seconds: Annotated[int, Field(ge=1, le=3_600)] = 10
    """How long a route answers without that: then the registry is asked before the answer. What is taken off a route
    answers nobody any more when this time has passed."""


class CodeReleaseSettings(BaseSettings):
    """The functions that CodeDeploy asks about a release of a stage's score functions."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    functions: Annotated[dict[EndpointName, Name], Field(min_length=1)]
    """The score functions, by endpoint."""
    alias: Name
    """The alias that is moved."""
    registry_table: Name
    models_bucket: Name
    signing_key: Name


class BeforeTrafficSettings(CodeReleaseSettings):
    """The function that CodeDeploy asks before a new function version gets traffic."""

    provisioned_concurrency: dict[EndpointName, Annotated[int, Field(ge=1)]] = {}
    """What a function version is given that has none any more, by endpoint."""
    changed_answers: tuple[Name, ...] = ()
    """Saved events whose answers the release changes, so that they are not compared."""


class AfterTrafficSettings(CodeReleaseSettings):
    """The function that CodeDeploy asks when all traffic has moved."""


class RedeliverSettings(BaseSettings):
    """The function that puts undelivered prediction records back on the stream."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    predictions_stream: Name
    archive_bucket: Name


class RegistrySettings(BaseSettings):
    """The registry function of one stage."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    registry_table: Name
    models_bucket: Name
    archive_bucket: Name
    signing_key: Name
    policies: Annotated[dict[EndpointName, Policy], Field(min_length=1)]
    """What a model package must show, by endpoint: ``policies/<endpoint>.toml`` as they were at synth."""


class RollupSettings(BaseSettings):
    """The function that counts prediction records."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    rollup_table: Name
    cutoffs: Annotated[dict[EndpointName, Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]
    """The decision cut-off of each endpoint, from ``policies/<endpoint>.toml`` as they were at synth."""
    rollup_period_seconds: Annotated[int, Field(ge=1, le=3_600)] = 60
    rollup_keep_days: Annotated[int, Field(ge=9, le=400)] = KEEP_DAYS
    """How long counts and identities are kept. A day before, records are refused: after the stream's seven, so that
    only what was undelivered for weeks comes too late."""


class ShadowSettings(BaseSettings):
    """The function that scores the prediction stream with shadows."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    registry_table: Name
    models_bucket: Name
    archive_bucket: Name


class RolloutSettings(BaseSettings):
    """The function that looks at the rollouts of one stage."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    endpoints: Annotated[tuple[EndpointName, ...], Field(min_length=1)]
    registry_table: Name
    registry_api_url: Name
    rollup_table: Name
    announcements_table: Name
    """How far each endpoint's history has been announced."""
    event_bus: Name
    topic: Name
    """The ARN of the topic on which people are told."""


class Engine(StrEnum):
    """What answers SQL over the archive, where a stage chooses."""

    DUCKDB = "duckdb"  # within the function, from a copy of what is needed
    ATHENA = "athena"


class QueryingSettings(BaseSettings):
    """A function that asks the archive in SQL, by the engine that its stage has chosen."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    drift_policies: Annotated[dict[EndpointName, DriftPolicy], Field(min_length=1)]
    """``policies/drift/<endpoint>.toml`` as they were at synth."""
    archive_bucket: Name
    engine: Engine = Engine.DUCKDB
    athena_workgroup: str = ""
    athena_database: str = ""
    duckdb_memory_mib: Annotated[int, Field(ge=128)] = 1_000
    """What DuckDB may hold in memory; the rest is on the function's disk."""

    @model_validator(mode="after")
    def _names_what_it_asks(self) -> Self:
        if self.engine is Engine.ATHENA and not (self.athena_workgroup and self.athena_database):
            raise ValueError("the engine athena needs athena_workgroup and athena_database")
        return self


class JudgingSettings(QueryingSettings):
    """A function that judges the windows of one stage's endpoints by the archive, and has what follows decided and told."""

    cutoffs: Annotated[dict[EndpointName, Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)]
    """The decision cut-off of each endpoint, from ``policies/<endpoint>.toml`` as they were at synth."""
    models_bucket: Name
    registry_table: Name
    event_bus: Name
    topic: Name
    """The ARN of the topic on which people are told."""

    @model_validator(mode="after")
    def _has_a_cutoff_for_each_policy(self) -> Self:
        if strangers := self.drift_policies.keys() - self.cutoffs.keys():
            raise ValueError(f"cutoffs has none of {', '.join(sorted(strangers))}")
        return self


class DriftSettings(JudgingSettings):
    """The function that judges whether windows have drifted."""

    rollup_table: Name


class PerformanceSettings(JudgingSettings):
    """The function that judges what labels show."""


class OutcomesSettings(BaseSettings):
    """The function that takes outcomes."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    endpoints: Annotated[tuple[EndpointName, ...], Field(min_length=1)]
    archive_bucket: Name


class TrainSettings(BaseSettings):
    """The function that trains a candidate on the set of a request."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    archive_bucket: Name
    models_bucket: Name
    registry_table: Name


class TrainingSetSettings(QueryingSettings):
    """The function that leaves the training set of a request in its workspace."""


class CandidateSettings(BaseSettings):
    """The function that gates what training has left, registers it and puts it in shadow."""

    model_config = SettingsConfigDict(env_prefix="QUICKSILVER_", frozen=True)

    stage: Name
    archive_bucket: Name
    models_bucket: Name
    registry_table: Name
    registry_api_url: Name
    policies: Annotated[dict[EndpointName, Policy], Field(min_length=1)]
    """What a model package must show, by endpoint: ``policies/<endpoint>.toml`` as they were at synth."""


SETTINGS: Mapping[str, type[BaseSettings]] = {
    "after-traffic": AfterTrafficSettings,
    "before-traffic": BeforeTrafficSettings,
    "drift": DriftSettings,
    "candidate": CandidateSettings,
    "outcomes": OutcomesSettings,
    "performance": PerformanceSettings,
    "redeliver": RedeliverSettings,
    "registry": RegistrySettings,
    "rollout": RolloutSettings,
    "rollup": RollupSettings,
    "shadow": ShadowSettings,
    "train": TrainSettings,
    "training-set": TrainingSetSettings,
}
"""By function, as it is named after ``quicksilver-<stage>-``; ``score-<endpoint>`` has ``ScoreSettings``."""
