"""Provisioned concurrency: what is held for an endpoint, fixed or by Application Auto Scaling, and how much of the load it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quicksilver.cost.assembly import Assembly, DeployedFunction, Resource
from quicksilver.cost.schedule import MINUTES_A_WEEK, minutes_of_week
from quicksilver.cost.usage import rounded_up


@dataclass(frozen=True, slots=True)
class Held:
    """``floors`` are the least that is held, each with its share of the week; ``target`` is how much of it should be in use.

    Where nothing scales, floor and ``most`` are the same.
    """

    floors: Sequence[tuple[int, Decimal]]
    most: int
    target: Decimal

    def held(self, busy: Decimal) -> Decimal:
        """How many environments are held, on average, where ``busy`` are at work at once."""
        return sum((share * held for held, share in self._at(busy)), Decimal(0))

    def share_of_load(self, busy: Decimal) -> Decimal:
        """What share of the work falls on what is held; the rest is billed on demand."""
        if not busy:
            return Decimal(1)
        return sum((share * min(Decimal(1), held / busy) for held, share in self._at(busy)), Decimal(0))

    def _at(self, busy: Decimal) -> list[tuple[Decimal, Decimal]]:
        wanted = rounded_up(busy / self.target) if self.target else Decimal(0)
        return [(max(Decimal(floor), min(wanted, Decimal(self.most))), share) for floor, share in self.floors]


def held_by(assembly: Assembly, function: DeployedFunction, utilisation: Decimal) -> Held:
    """What a function holds. ``utilisation`` is aimed at where it scales and no policy says another."""
    for target in assembly.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        if function in assembly.functions_in(target.properties.get("ResourceId")):
            least, most = (int(target.properties[name]) for name in ("MinCapacity", "MaxCapacity"))
            return Held(floors(least, _scheduled(target)), most, _target(assembly, target, utilisation))
    fixed = sum(
        int(
            version.properties.get("ProvisionedConcurrencyConfig", {}).get(
                "ProvisionedConcurrentExecutions", 0
            )
        )
        for version in assembly.of_type("AWS::Lambda::Version")
        if function in assembly.functions_in(version.properties.get("FunctionName"))
    )
    return Held([(fixed, Decimal(1))], fixed, utilisation)


def _target(assembly: Assembly, target: Resource, utilisation: Decimal) -> Decimal:
    for policy in assembly.of_type("AWS::ApplicationAutoScaling::ScalingPolicy"):
        tracking = policy.properties.get("TargetTrackingScalingPolicyConfiguration", {})
        if policy.properties.get("ScalingTargetId") == {"Ref": target.id} and "TargetValue" in tracking:
            return Decimal(str(tracking["TargetValue"]))
    return utilisation


def _scheduled(target: Resource) -> Iterator[tuple[str, int]]:
    for action in target.properties.get("ScheduledActions", ()):
        floor = action.get("ScalableTargetAction", {}).get("MinCapacity")
        if floor is not None:
            yield action["Schedule"], int(floor)


def floors(least: int, scheduled: Iterable[tuple[str, int]]) -> list[tuple[int, Decimal]]:
    """Each floor with its share of the week: ``scheduled`` are schedules and floors, of which each holds until the next."""
    changes: dict[int, int] = {}
    for schedule, floor in scheduled:
        changes |= dict.fromkeys(minutes_of_week(schedule), floor)
    if not changes:
        return [(least, Decimal(1))]
    starts = sorted(changes)
    ends = [*starts[1:], starts[0] + MINUTES_A_WEEK]
    shares: dict[int, int] = {}
    for start, end in zip(starts, ends, strict=True):
        shares[changes[start]] = shares.get(changes[start], 0) + end - start
    return [(floor, Decimal(minutes) / MINUTES_A_WEEK) for floor, minutes in sorted(shares.items())]
