"""Routes: which arm answers for which entity.

A route is a value with a number; every change is a new route. Assignment is a pure function of the
route and the entity, so it is sticky, costs a hash, and can be recomputed by an auditor years later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quicksilver.contract import EndpointName
from quicksilver.experiment_plan import Experiment
from quicksilver.model_version import ModelName, ModelVersion, Sha256
from quicksilver.rollout_plan import Rollout

FULL_SHARE_BP = 10_000
"""All of an endpoint's entities, in basis points."""


class Role(StrEnum):
    CHAMPION = "champion"
    CHALLENGER = "challenger"
    CANARY = "canary"
    SHADOW = "shadow"


class Arm(BaseModel):
    """One entry of a route: a model version, a role and a share in basis points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelName
    package_sha256: Sha256
    role: Role
    share_bp: Annotated[int, Field(ge=0, le=FULL_SHARE_BP)]


class Assignment(NamedTuple):
    """An entity's arm; ``held_out`` entities have the champion's whatever the shares are."""

    arm: Arm
    held_out: bool


def sole_champion(model: ModelVersion) -> Arm:
    """The one arm of a route on which a model version answers for every entity."""
    return Arm(
        model=model.name,
        package_sha256=model.package_sha256,
        role=Role.CHAMPION,
        share_bp=FULL_SHARE_BP,
    )


class Route(BaseModel):
    """An endpoint's arms at one moment.

    Exactly one champion; a shadow's share is 0; the shares of the arms that answer add up to 10 000. Shares are of the
    entities outside the holdout, which always see the champion. ``rollout`` and ``experiment`` are what moves the
    route, where something does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: EndpointName
    number: Annotated[int, Field(ge=1)]
    salt: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
    holdout_bp: Annotated[int, Field(ge=0, le=FULL_SHARE_BP)] = 0
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    rollout: Rollout | None = None
    experiment: Experiment | None = None
    author: Annotated[str, Field(min_length=1)]
    created_at: str

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if sum(arm.role is Role.CHAMPION for arm in self.arms) != 1:
            raise ValueError("a route has exactly one champion")
        if any(arm.share_bp for arm in self.arms if arm.role is Role.SHADOW):
            raise ValueError("a shadow answers nobody, so its share is 0")
        total = sum(arm.share_bp for arm in self.arms)
        if total != FULL_SHARE_BP:
            raise ValueError(f"shares add up to {total} basis points, not {FULL_SHARE_BP}")
        for arm in self.arms:
            if arm.model.rpartition("@")[0] != self.endpoint:
                raise ValueError(f"{arm.model} is not a model version of {self.endpoint}")
        answering = [arm.model for arm in self.answering]
        if len(set(answering)) != len(answering):
            raise ValueError("a model version answers by one arm only")
        shadows = [arm.model for arm in self.shadows]
        if len(set(shadows)) != len(shadows):
            raise ValueError("a model version is a shadow once only")
        if self.rollout and self.experiment:
            raise ValueError("a rollout and an experiment would each disturb what the other measures")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 - every part of a route is frozen
        """A copy that is a route too: validated, and with nothing left of what was prepared for other arms."""
        return type(self).model_validate({**dict(self), **(update or {})})

    @cached_property
    def _in_order(self) -> tuple[Arm, ...]:
        # The champion comes last: a canary that grows widens its own interval from the left
        # edge and so keeps every entity it has, whatever the order the arms were given in.
        return tuple(sorted(self.arms, key=lambda arm: arm.role is Role.CHAMPION))

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        """Where each arm's interval ends, in that order; an arm without a share ends where it begins."""
        return tuple(accumulate(arm.share_bp for arm in self._in_order))

    @cached_property
    def _keyed(self) -> blake2b:
        return _keyed(self.salt)

    @cached_property
    def _keyed_for_holdout(self) -> blake2b:
        return _keyed(f"{self.endpoint}/holdout")

    @property
    def champion(self) -> Arm:
        return next(arm for arm in self.arms if arm.role is Role.CHAMPION)

    @property
    def answering(self) -> tuple[Arm, ...]:
        """The arms that answer, which are all but the shadows."""
        return tuple(arm for arm in self.arms if arm.role is not Role.SHADOW)

    @property
    def shadows(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.role is Role.SHADOW)

    def holds_out(self, entity_id: str) -> bool:
        """Whether an entity is in the holdout. Its salt is the endpoint's for ever, whatever the route's own is."""
        return self.holdout_bp > 0 and _place(self._keyed_for_holdout, entity_id) < self.holdout_bp

    def assignment(self, entity_id: str) -> Assignment:
        """The arm that answers for an entity, and whether the holdout is why."""
        if self.holds_out(entity_id):
            return Assignment(self.champion, held_out=True)
        arm = self._in_order[bisect_right(self._bounds, _place(self._keyed, entity_id))]
        return Assignment(arm, held_out=False)

    def assign(self, entity_id: str) -> Arm:
        """The arm that answers for an entity."""
        return self.assignment(entity_id).arm


def bucket(salt: str, entity_id: str) -> int:
    """An entity's place in [0, 10 000): keyed BLAKE2b (RFC 7693), 8 bytes, modulo 10 000.

    The modulo of a 64-bit hash favours no bucket by more than 1 in 10^15.
    """
    return _place(_keyed(salt), entity_id)


def _keyed(salt: str) -> blake2b:
    return blake2b(key=salt.encode(), digest_size=8)


def _place(keyed: blake2b, entity_id: str) -> int:
    # Keying is half the cost of a hash this short, so a route does it once.
    state = keyed.copy()
    state.update(entity_id.encode())
    return int.from_bytes(state.digest()) % FULL_SHARE_BP
