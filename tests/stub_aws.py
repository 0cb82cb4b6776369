"""The AWS that one score function sees, over HTTP: a registry and packages from memory, and ways out that can fail."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from bench.loopback_http import Answer, LoopbackServer, Request

if TYPE_CHECKING:
    from tests.unit.conftest import Bench

STREAM, ARCHIVE = "predictions", "archive"


@dataclass
class StubAws:
    """DynamoDB, KMS, S3 and Kinesis as far as a score function calls them. Only ``bench``'s champion exists."""

    bench: Bench
    stream_up: bool = True
    store_up: bool = True
    taken: list[dict[str, Any]] = field(default_factory=list)
    """Records the stream took."""
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Records the store took, by key."""
    puts: SimpleQueue[int] = field(default_factory=SimpleQueue)
    """When each PutRecords arrived (``perf_counter_ns``)."""

    def __post_init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._server = LoopbackServer(self._answer)
        self._server.start()

    def hold_stream(self) -> None:
        """Let PutRecords calls wait, unanswered, until ``release_stream``."""
        self._open.clear()

    def release_stream(self) -> None:
        self._open.set()

    def stop(self) -> None:
        self._open.set()
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The score function's variables for this AWS."""
        settings = {
            "STAGE": "test",
            "ENDPOINT": "card-fraud",
            "FEATURES_TABLE": "features",
            "REGISTRY_TABLE": "registry",
            "PREDICTIONS_STREAM": STREAM,
            "MODELS_BUCKET": "models",
            "ARCHIVE_BUCKET": ARCHIVE,
            "SIGNING_KEY": "arn:aws:kms:us-east-1:000000000000:key/1",
            "DEADLINE_MS": "5000",
        }
        return {
            **{f"QUICKSILVER_{name}": value for name, value in settings.items()},
            "POWERTOOLS_SERVICE_NAME": "score-card-fraud",
            "POWERTOOLS_METRICS_NAMESPACE": "Quicksilver",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{self._server.address}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _answer(self, request: Request) -> Answer | None:
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        match operation:
            case "GetItem":
                return self._registry_item(json.loads(request.body)["Key"]["sk"]["S"])
            case "BatchGetItem":
                return _json({"Responses": {"features": []}, "UnprocessedKeys": {}})
            case "Verify":
                return _json({"KeyId": "1", "SignatureValid": True, "SigningAlgorithm": "ECDSA_SHA_256"})
            case "PutRecords":
                return self._put_records(request)
        path = request.path.partition("?")[0]
        if request.method == "GET" and path.startswith("/models/packages/"):
            return self._package_file(path)
        if request.method == "PUT" and path.startswith(f"/{ARCHIVE}/"):
            return self._put_object(path.removeprefix(f"/{ARCHIVE}/"), request.body)
        return Answer(501, f"unforeseen: {request.method} {path} {operation}".encode())

    def _registry_item(self, sk: str) -> Answer:
        store = self.bench.registry_store
        if sk == "ROUTE":
            document: Any = store.current_route("card-fraud")
        else:
            document = store.model_version("card-fraud", int(sk.removeprefix("MODEL#")))
        return _json({"Item": {"document": {"S": document.model_dump_json()}}})

    def _package_file(self, path: str) -> Answer:
        sha256, name = path.removeprefix("/models/packages/").split("/", 1)
        return Answer(200, self.bench.artifacts.get(sha256, name), {"ETag": '"1"'})

    def _put_records(self, request: Request) -> Answer:
        self.puts.put(request.at_ns)
        self._open.wait(30)
        records = [json.loads(base64.b64decode(r["Data"])) for r in json.loads(request.body)["Records"]]
        if not self.stream_up:
            return _json({"__type": "ProvisionedThroughputExceededException"}, 400)
        self.taken += records
        results = [{"SequenceNumber": "1", "ShardId": "shardId-000000000000"} for _ in records]
        return _json({"FailedRecordCount": 0, "Records": results})

    def _put_object(self, key: str, body: bytes) -> Answer:
        if not self.store_up:
            return Answer(503, b"<Error><Code>SlowDown</Code></Error>", {"Content-Type": "application/xml"})
        self.kept[key] = [json.loads(line) for line in body.splitlines()]
        return Answer(200, b"", {"ETag": '"1"'})


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.1"})
