"""How a retraining ends, where it does not fail: what came of it, for the machine's output and for people."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from quicksilver.announcements import one_line
from quicksilver.model_version import ModelName
from quicksilver.retraining.request import RetrainRequest


class EndingKind(StrEnum):
    SHADOW = "shadow"  # a new model version scores what is answered, and answers nobody
    NOT_GOOD_ENOUGH = "not_good_enough"  # a gate has failed
    TOO_FEW_ROWS = "too_few_rows"
    NOT_LEARNABLE = "not_learnable"  # training has refused the set
    NOTHING_NEW = "nothing_new"  # training has given the champion again, byte for byte


HEADLINES = {
    EndingKind.SHADOW: "a retrained model is in shadow",
    EndingKind.NOT_GOOD_ENOUGH: "a retrained model is not good enough",
    EndingKind.TOO_FEW_ROWS: "too few outcomes to train a new model",
    EndingKind.NOT_LEARNABLE: "nothing could be learned from the latest outcomes",
    EndingKind.NOTHING_NEW: "retraining has given the champion again",
}


class Ending(BaseModel):
    """What came of a request, in one sentence. ``model`` is the model version that is registered, where one is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: EndingKind
    sentence: str
    model: ModelName | None = None
    failed_checks: tuple[str, ...] = ()

    def told(self, request: RetrainRequest) -> dict[str, Any]:
        """What the machine hands on: the ending, and the message to people with what to do next."""
        endpoint, stage = request.endpoint, request.stage
        lines = [
            self.sentence,
            *(f"- {check} has failed" for check in self.failed_checks),
            "",
            f"Asked for: {request.reason}",
            *self._next_steps(endpoint, stage),
            f"More: quicksilver retrain show {request.id} --stage {stage}",
            f"Stage: {stage}; request {request.id}",
        ]
        subject = one_line(f"[{stage}] {endpoint}: {HEADLINES[self.kind]}")
        ending = self.model_dump(mode="json")
        return {"ending": ending, "subject": subject, "text": "\n".join(lines)}

    def _next_steps(self, endpoint: str, stage: str) -> tuple[str, ...]:
        if self.kind is EndingKind.SHADOW:
            return (
                "It answers nobody. When you have seen enough of it, approve it and begin its rollout:",
                f"  quicksilver shadow report --endpoint {endpoint} --model {self.model} --stage {stage} --html shadow.html",
                f'  quicksilver model approve {self.model} --stage {stage} --reason "..."',
                f'  quicksilver rollout start --endpoint {endpoint} --model {self.model} --stage {stage} --reason "..."',
            )
        if self.kind is EndingKind.NOT_GOOD_ENOUGH:
            return (f"Its gate report: quicksilver model show {self.model} --stage {stage}",)
        return ()
