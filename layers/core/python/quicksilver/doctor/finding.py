"""What the doctor says: of one thing, how it is, what was seen, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    OK = "ok"
    WARN = "warn"  # somebody should look; nobody waits for it
    FAIL = "fail"  # broken, or it could not be seen
    SKIPPED = "skipped"  # this platform does not tell, or it was not asked for; never ok


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. ``next`` is a sentence or a command for whoever has to act; only what is ok has none."""

    area: str
    subject: str
    health: Health
    seen: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be, of a subject that is named elsewhere."""

    seen: str
    next: str
    health: Health = Health.FAIL


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was found of a stage."""

    stage: str
    findings: Sequence[Finding]

    @property
    def well(self) -> bool:
        """Whether nothing has failed."""
        return not self.of(Health.FAIL)

    def of(self, health: Health) -> list[Finding]:
        return [finding for finding in self.findings if finding.health is health]


def found(area: str, subject: str, seen: str, problems: Iterable[Problem]) -> Iterator[Finding]:
    """A subject's problems, each a line; where none is worse than untold, what was ``seen`` is ok."""
    said = list(problems)
    if all(problem.health is Health.SKIPPED for problem in said):
        yield Finding(area, subject, Health.OK, seen)
    for problem in said:
        yield Finding(area, subject, problem.health, problem.seen, problem.next)


def untold(what: str) -> Problem:
    """A fact that the platform does not tell."""
    return Problem(f"{what}: an emulator does not tell.", "Ask on a stage that runs on AWS.", Health.SKIPPED)
