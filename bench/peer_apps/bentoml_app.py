"""A BentoML service, one worker, one thread."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bentoml
from decide import Decider


@bentoml.service(workers=1, threads=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Scoring:
    def __init__(self) -> None:
        self.decider = Decider()
        self.later = ThreadPoolExecutor(1)

    # BentoML takes the arguments of a method as the members of the body.
    @bentoml.api(route="/score")
    def score(
        self, entity_id: str, keys: dict[str, str], features: dict[str, Any], reasons: str = "top"
    ) -> dict[str, Any]:
        body = self.decider.request_model.model_validate(
            {"entity_id": entity_id, "keys": keys, "features": features}
        )
        decision, record = self.decider.decide(body, reasons == "top")
        self.later.submit(self.decider.log, record)
        return decision.model_dump()
