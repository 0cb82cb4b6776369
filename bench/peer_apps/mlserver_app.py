"""A custom runtime of MLServer, in its server's own process (no parallel workers).

Its protocol (Open Inference Protocol v2) carries tensors; the request travels as one of bytes that holds the JSON.
"""

from concurrent.futures import ThreadPoolExecutor

from decide import Decider
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Scoring(MLModel):
    async def load(self) -> bool:
        self.decider = Decider()
        self.later = ThreadPoolExecutor(1)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        body = self.decider.request_model.model_validate_json(StringCodec.decode_input(payload.inputs[0])[0])
        parameters = payload.parameters.model_dump() if payload.parameters else {}
        decision, record = self.decider.decide(body, parameters.get("reasons", "top") == "top")
        self.later.submit(self.decider.log, record)
        return InferenceResponse(
            model_name=self.name,
            outputs=[StringCodec.encode_output("decision", [decision.model_dump_json()])],
        )
