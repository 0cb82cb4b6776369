"""What the history tells of a rollout: its plan, each decision with its numbers, and how it stands or ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from quicksilver.history import Action, Entry
from quicksilver.instants import epoch_ms
from quicksilver.model_version import Identity, ModelName
from quicksilver.rollout.look import Look, Verdict
from quicksilver.rollout_plan import Rollout
from quicksilver.rollout_registry import Move
from quicksilver.routing import Route


class Standing(StrEnum):
    """How a rollout stands, or how it ended."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


_ENDED = {
    Move.COMPLETED: Standing.COMPLETED,
    Move.ROLLED_BACK: Standing.ROLLED_BACK,
    Move.ABORTED: Standing.ABORTED,
}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decision(_Value):
    """One entry of the history. ``move`` is null where a look held; ``share_bp`` is the canary's from then on.

    ``look`` has the numbers, where it was the guards that decided.
    """

    entry: int
    at: str
    move: Move | None
    share_bp: int
    who: Identity
    reason: str
    look: Look | None

    @property
    def words(self) -> str:
        return (self.move or Verdict.HOLD).replace("_", " ")


class FoundRollout(_Value):
    """A rollout as the history tells of it. ``plan`` is how it started; ``decisions`` are in order, the start first."""

    endpoint: str
    plan: Rollout
    champion: ModelName
    decisions: tuple[Decision, ...]

    @property
    def standing(self) -> Standing:
        last = self._last_move
        return _ENDED.get(last, Standing.PAUSED if last is Move.PAUSED else Standing.RUNNING)

    @property
    def started_ms(self) -> int:
        return epoch_ms(self.plan.started_at)

    @property
    def ended_ms(self) -> int | None:
        """When it ended (epoch ms); ``None`` while it runs."""
        return epoch_ms(self.decisions[-1].at) if self._last_move in _ENDED else None

    @property
    def _last_move(self) -> Move:
        """Looks that held are no moves; a rollout begins with one."""
        return next(decision.move for decision in reversed(self.decisions) if decision.move)


def rollout_numbers(entries: Iterable[Entry]) -> list[int]:
    """The numbers of the rollouts that an endpoint has had, rising."""
    return sorted({entry.details["rollout"]["number"] for entry in entries if "rollout" in entry.details})


def find_rollout(entries: Sequence[Entry], number: int) -> FoundRollout | None:
    """The rollout of that number in an endpoint's history; ``None`` where there is none."""
    own = [entry for entry in entries if entry.details.get("rollout", {}).get("number") == number]
    if not own:
        return None
    start = Route.model_validate(own[0].details["route"])
    assert start.rollout is not None  # noqa: S101 - its first entry is the route that started it
    decisions: list[Decision] = []
    for entry in own:
        share_bp = decisions[-1].share_bp if decisions else 0
        if entry.action is Action.ROUTED:
            share_bp = _share_bp(entry.details["route"], start.rollout.model)
        decisions.append(_decision(entry, share_bp))
    return FoundRollout(
        endpoint=start.endpoint,
        plan=start.rollout,
        champion=start.champion.model,
        decisions=tuple(decisions),
    )


def _decision(entry: Entry, share_bp: int) -> Decision:
    said: Mapping[str, Any] = entry.details["rollout"]
    return Decision(
        entry=entry.number,
        at=entry.at,
        move=said.get("move"),
        share_bp=share_bp,
        who=entry.who,
        reason=entry.reason,
        look=said.get("look"),
    )


def _share_bp(route: Mapping[str, Any], model: str) -> int:
    arms = Route.model_validate(route).answering
    return next((arm.share_bp for arm in arms if arm.model == model), 0)
