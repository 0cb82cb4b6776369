"""What is known of declined applicants: few labels, or none, so that what is judged is who was approved."""

from __future__ import annotations

from dataclasses import dataclass

from quicksilver.performance.counts import Answered

_FEW = 0.05
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Selection:
    """The shares of approved (below the cut-off) and of declined predictions that have a label; None of nobody."""

    approved: float | None
    declined: float | None

    @property
    def sentence(self) -> str:
        """What it means for a reader of the metrics."""
        if self.approved is None and self.declined is None:
            return "There are no predictions."
        if self.declined is None:
            return "Nobody was declined, so labels select nobody."
        if self.approved is None:
            return "Everybody was declined; what labels there are, are of declined ones."
        said = f"{self.approved:.1%} of the approved have a label and {self.declined:.1%} of the declined."
        if not self.approved and not self.declined:
            return f"{said} Nothing is judged yet."
        if self.declined < _FEW * self.approved:
            return (
                f"{said} Declined applicants leave next to no outcome: AUC, KS and Brier score are those of the "
                "approved alone, among whom the scores differ less, so that they look worse than they are, and "
                "nothing says how many of the declined would have been good."
            )
        if self.declined < _ALIKE * self.approved:
            return (
                f"{said} Declined applicants are under-represented in AUC, KS and Brier score, which lean towards "
                "the approved."
            )
        return f"{said} Both are judged alike."


def selection(answered: Answered) -> Selection:
    return Selection(
        _share(answered.approved_labelled, answered.approved),
        _share(answered.declined_labelled, answered.declined),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
