"""FastAPI under uvicorn (uvloop, httptools), one worker: what most teams build."""

from typing import Annotated

from decide import Decider, Decision
from fastapi import BackgroundTasks, Body, FastAPI

decider = Decider()
app = FastAPI()
Request = decider.request_model


# A plain function: it blocks on the feature store, so FastAPI runs it in its thread pool.
@app.post("/score")
def score(body: Annotated[Request, Body()], later: BackgroundTasks, reasons: str = "top") -> Decision:
    decision, record = decider.decide(body, reasons == "top")
    later.add_task(decider.log, record)
    return decision


@app.get("/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}
