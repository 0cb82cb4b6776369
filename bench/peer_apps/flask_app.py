"""Flask under gunicorn, one sync worker. Flask has no work after the answer, so a thread of ours does it."""

from concurrent.futures import ThreadPoolExecutor

from decide import Decider
from flask import Flask, Response, request
from pydantic import ValidationError

decider = Decider()
later = ThreadPoolExecutor(1)
app = Flask(__name__)


@app.post("/score")
def score() -> Response:
    try:
        body = decider.request_model.model_validate_json(request.get_data())
    except ValidationError as error:
        return Response(error.json(), status=422, mimetype="application/json")
    decision, record = decider.decide(body, request.args.get("reasons", "top") == "top")
    later.submit(decider.log, record)
    return Response(decision.model_dump_json(), mimetype="application/json")


@app.get("/ready")
def ready() -> Response:
    return Response("{}", mimetype="application/json")
