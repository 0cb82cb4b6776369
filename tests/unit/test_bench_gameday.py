"""What the game day calls missed, and that each of its exercises leads to a page's section."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import gameday
from bench.callers import Callers, Given
from bench.gameday import Held, content_of
from bench.gameday_exercises import EXERCISES, Exercise

RECOVERY = Path(__file__).resolve().parents[2] / "docs" / "recovery.md"

WENT_WELL = Held("rollup stopped", "A consumer", "Disabled", 2.0, 3.0, answered=40, refused=0, unfelt=True)


def test_an_exercise_that_was_found_repaired_and_not_felt_is_not_missed() -> None:
    assert WENT_WELL.missed == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"found_seconds": None}, "rollup stopped: the doctor did not find it."),
        (
            {"well_seconds": None, "left": ("It is Disabled.",)},
            "rollup stopped: it was not repaired: It is Disabled..",
        ),
        ({"refused": 3}, "rollup stopped: 3 callers were refused."),
        ({"answered": 0}, "rollup stopped: no caller was answered."),
    ],
)
def test_whatever_did_not_go_as_it_must_is_missed(change: dict[str, Any], sentence: str) -> None:
    held = replace(WENT_WELL, **change)
    assert content_of([WENT_WELL, held])["missed"] == [sentence]


def test_an_exercise_that_may_be_felt_is_not_missed_for_it() -> None:
    assert replace(WENT_WELL, refused=3, unfelt=False).missed == []


def test_every_exercise_leads_to_a_section_that_says_the_repair() -> None:
    sections = set(re.findall(r"^## (.+)$", RECOVERY.read_text(), re.MULTILINE))
    assert {exercise.section for exercise in EXERCISES} <= sections
    assert len({exercise.name for exercise in EXERCISES}) == len(EXERCISES)


class Broken:
    """A stage on which a thing can be broken, and that the doctor may or may not find."""

    def __init__(self, *, seen: bool, repairable: bool) -> None:
        self.seen, self.repairable, self.broken = seen, repairable, False

    def inject(self, _: Any) -> str:
        self.broken = True
        return "kept"

    def repair(self, _: Any, kept: str) -> None:
        assert kept == "kept"
        self.broken = not self.repairable

    def failures(self, _: Any) -> dict[str, str]:
        return {"thing": "It is broken."} if self.broken and self.seen else {}


@pytest.mark.parametrize(
    ("seen", "repairable", "missed"),
    [
        (True, True, []),
        (False, True, ["a thing: the doctor did not find it."]),
        (True, False, ["a thing: it was not repaired: It is broken.."]),
    ],
)
def test_an_exercise_is_held_by_what_the_doctor_says_before_and_after_the_repair(
    monkeypatch: pytest.MonkeyPatch, seen: bool, repairable: bool, missed: list[str]
) -> None:
    stage = Broken(seen=seen, repairable=repairable)
    monkeypatch.setattr(gameday, "failures", stage.failures)
    monkeypatch.setattr(gameday, "PATIENCE_S", 0.05)
    monkeypatch.setattr(gameday, "FELT_S", 0.0)
    exercise = Exercise("a thing", "thing", "A consumer", stage.inject, stage.repair)
    callers = Callers()

    def say(_: str) -> None:
        callers.given.append(Given(0, 1, prediction_id="p-1"))

    def inject(_: Any) -> str:
        callers.given.append(Given(0, 1, prediction_id="p-2"))
        return stage.inject(_)

    held = gameday._held(replace(exercise, inject=inject), stage, callers, say)  # type: ignore[arg-type]
    assert held.missed == missed
    assert (held.answered, held.refused) == (1, 0)
