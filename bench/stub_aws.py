"""The AWS that benches talk to: enough of DynamoDB, Kinesis, S3 and KMS, in a process of its own.

    with StubAws() as aws:
        environment = aws.environment

It answers from memory in a few tens of microseconds, keeps what is written, checks no signature and no
condition, and its CPU is nobody's but its own: "the HTTP layer stubbed". Contestants still serialise, sign,
send and parse every call. Nothing here is a test of behaviour; the contract suite has other rings for that.

    POST /_stub/delay {"Kinesis": 300}     delay a service's answers from now on (ms)
    GET  /_stub/calls                      how often each operation was called
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Self

from bench.loopback_http import Answer, LoopbackServer, Request

Json = dict[str, Any]
Key = tuple[str, ...]

_SERVICES = {"DynamoDB_20120810": "DynamoDB", "Kinesis_20131202": "Kinesis", "TrentService": "KMS"}
_KEY_ATTRIBUTES = ("pk", "sk")


class World:
    """What the stub holds, and what it answers."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.delay_ms: dict[str, float] = {}
        self._tables: dict[str, dict[Key, Json]] = {}
        self._objects: dict[str, bytes] = {}
        self._sequence = 0
        self._operations: dict[str, Callable[[Json], Json]] = {
            "DynamoDB.GetItem": self._get_item,
            "DynamoDB.BatchGetItem": self._batch_get_item,
            "DynamoDB.Query": self._query,
            "DynamoDB.PutItem": self._put_item,
            "DynamoDB.BatchWriteItem": self._batch_write_item,
            "DynamoDB.TransactWriteItems": self._transact_write_items,
            "Kinesis.PutRecord": lambda _: self._kinesis_record(),
            "Kinesis.PutRecords": self._put_records,
            "KMS.Sign": lambda call: {
                "KeyId": call["KeyId"],
                "Signature": base64.b64encode(b"stub").decode(),
            },
            "KMS.Verify": lambda call: {"KeyId": call["KeyId"], "SignatureValid": True},
        }

    def answer(self, request: Request) -> Answer:
        target = request.headers.get("x-amz-target")
        if request.path.startswith("/_stub/"):
            return self._control(request)
        if target is None:
            return self._object(request)
        prefix, _, name = target.partition(".")
        service = _SERVICES.get(prefix, prefix)
        operation = f"{service}.{name}"
        self.calls[operation] += 1
        if delay := self.delay_ms.get(service):
            time.sleep(delay / 1_000)
        perform = self._operations.get(operation)
        if perform is None:
            return _json(400, {"__type": "UnknownOperationException", "message": operation})
        return _json(200, perform(json.loads(request.body)))

    # -- DynamoDB --

    def _table(self, name: str) -> dict[Key, Json]:
        return self._tables.setdefault(name, {})

    def _get_item(self, call: Json) -> Json:
        item = self._table(call["TableName"]).get(_key(call["Key"]))
        return {"Item": item} if item else {}

    def _batch_get_item(self, call: Json) -> Json:
        responses = {}
        for name, wanted in call["RequestItems"].items():
            table = self._table(name)
            found = [item for key in wanted["Keys"] if (item := table.get(_key(key)))]
            responses[name] = [_projected(item, wanted) for item in found]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _query(self, call: Json) -> Json:
        """``pk = :pk AND sk BETWEEN :low AND :high``, the one question the registry asks."""
        values = {name: value["S"] for name, value in call["ExpressionAttributeValues"].items()}
        items = [
            item
            for key, item in sorted(self._table(call["TableName"]).items())
            if key[0] == values[":pk"] and values[":low"] <= key[1] <= values[":high"]
        ]
        if not call.get("ScanIndexForward", True):
            items.reverse()
        items = items[: call.get("Limit", len(items))]
        return {"Items": items, "Count": len(items), "ScannedCount": len(items)}

    def _put_item(self, call: Json) -> Json:
        self._table(call["TableName"])[_key(call["Item"])] = call["Item"]
        return {}

    def _batch_write_item(self, call: Json) -> Json:
        for name, writes in call["RequestItems"].items():
            for write in writes:
                self._put_item({"TableName": name, **write["PutRequest"]})
        return {"UnprocessedItems": {}}

    def _transact_write_items(self, call: Json) -> Json:
        for write in call["TransactItems"]:
            self._put_item(write["Put"])
        return {}

    # -- Kinesis --

    def _put_records(self, call: Json) -> Json:
        return {"FailedRecordCount": 0, "Records": [self._kinesis_record() for _ in call["Records"]]}

    def _kinesis_record(self) -> Json:
        self._sequence += 1
        return {"SequenceNumber": f"{self._sequence:056d}", "ShardId": "shardId-000000000000"}

    # -- S3, path style --

    def _object(self, request: Request) -> Answer:
        self.calls[f"S3.{request.method}"] += 1
        path = request.path.partition("?")[0]
        if request.method == "PUT":
            self._objects[path] = request.body
            return Answer(200, b"", {"ETag": _etag(request.body)})
        body = self._objects.get(path)
        if body is None:
            text = b"<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>"
            return Answer(404, text, {"Content-Type": "application/xml"})
        return Answer(200, body, {"Content-Type": "binary/octet-stream", "ETag": _etag(body)})

    # -- for the bench --

    def _control(self, request: Request) -> Answer:
        if request.path == "/_stub/delay":
            self.delay_ms = json.loads(request.body)
        return _json(200, dict(self.calls))


class StubAws:
    """The stub in a process of its own, for as long as the context lasts."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "bench.stub_aws"], stdout=subprocess.PIPE)
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self.url = self._process.stdout.readline().decode().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes an SDK talk to the stub and to nobody else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def delay(self, **milliseconds: float) -> None:
        """Delay a service's answers from now on: ``delay(Kinesis=300)``; without arguments nobody's."""
        self._ask("/_stub/delay", json.dumps(milliseconds).encode())

    def calls(self) -> Counter[str]:
        return Counter(self._ask("/_stub/calls"))

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url + path, body, timeout=10) as answer:  # noqa: S310 - ours, on loopback
            return json.load(answer)


def _key(item: Json) -> Key:
    return tuple(item[name]["S"] for name in _KEY_ATTRIBUTES if name in item)


def _projected(item: Json, wanted: Json) -> Json:
    if "ProjectionExpression" not in wanted:
        return item
    aliases = wanted.get("ExpressionAttributeNames", {})
    names = [part.strip() for part in wanted["ProjectionExpression"].split(",")]
    chosen = [aliases.get(name, name) for name in names]
    return {name: item[name] for name in chosen if name in item}


def _json(status: int, content: Json) -> Answer:
    body = json.dumps(content, separators=(",", ":")).encode()
    # DynamoDB sends a checksum, which its clients verify.
    headers = {"Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(body))}
    return Answer(status, body, headers)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def main() -> None:
    server = LoopbackServer(World().answer)
    server.start()
    print(f"http://{server.address}", flush=True)
    while True:
        time.sleep(3_600)


if __name__ == "__main__":
    main()
