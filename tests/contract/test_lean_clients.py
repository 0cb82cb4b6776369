"""The lean clients beside botocore's: the same calls, against one script or one emulator, come to the same.

Where the two differ on purpose, a test of its own says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)

from quicksilver.aws.connections import Limits
from quicksilver.aws.json_client import DynamoDBClient, KinesisClient, KmsClient
from quicksilver.aws.s3_client import S3Client
from tests.contract.tables import create_features_table, no_pause
from tests.scripted_server import Received, Step, Then, answer, refused_url, serving

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

Call = Callable[[Any], Any]
MakeClient = Callable[[str, Mapping[str, str]], Any]

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
LEAN = {"dynamodb": DynamoDBClient, "kinesis": KinesisClient, "kms": KmsClient}


def lean_client(
    service: str, environment: Mapping[str, str], *, seconds: float = 5, max_body_bytes: int = 2**20
) -> Any:
    limits = Limits(seconds * 0.3, seconds * 0.7, max_body_bytes)
    if service == "s3":
        return S3Client(limits, pause=no_pause, environment=environment)
    return LEAN[service](limits, environment=environment)


def botocores_client(service: str, environment: Mapping[str, str], *, seconds: float = 5) -> Any:
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            connect_timeout=seconds * 0.3,
            read_timeout=seconds * 0.7,
            retries={"total_max_attempts": 1, "mode": "standard"},
        ),
    )


CLIENTS = (botocores_client, lean_client)


@dataclass(frozen=True)
class Outcome:
    """What a call came to, without what names the request."""

    result: Any = None
    error: str = ""
    code: str = ""
    message: str = ""
    status: int = 0

    @classmethod
    def of(cls, call: Call, client: Any) -> Outcome:
        try:
            result = call(client)
        except ClientError as error:
            said = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            # The classes that each of botocore's clients makes for its modelled errors are told by their code.
            return cls(None, "ClientError", said["Code"], said.get("Message", ""), status)
        except BotoCoreError as error:
            return cls(None, type(error).__name__)
        status = result.pop("ResponseMetadata")["HTTPStatusCode"]
        return cls(result, status=status)


def outcomes(service: str, call: Call, environment: Mapping[str, str]) -> tuple[Outcome, Outcome]:
    botocores, lean = (Outcome.of(call, make(service, environment)) for make in CLIENTS)
    return botocores, lean


def at(url: str) -> dict[str, str]:
    return {**KEYS, "AWS_ENDPOINT_URL": url}


READ: Call = lambda client: client.batch_get_item(  # noqa: E731 - a table of calls
    RequestItems={"t": {"Keys": [{"pk": {"S": "a"}}], "ProjectionExpression": "pk"}}
)
PUT: Call = lambda client: client.put_records(  # noqa: E731
    StreamName="s", Records=[{"Data": b"\x00\xff{}\n", "PartitionKey": "\u00e4"}]
)
VERIFY: Call = lambda client: client.verify(  # noqa: E731
    KeyId="k",
    Message=bytes(32),
    MessageType="DIGEST",
    SigningAlgorithm="ECDSA_SHA_256",
    Signature=b"\xff\x00",
)
GET_ITEM: Call = lambda client: client.get_item(TableName="t", Key={"pk": {"S": "a"}}, ConsistentRead=True)  # noqa: E731
PUT_ITEM: Call = lambda client: client.put_item(  # noqa: E731
    TableName="t",
    Item={"pk": {"S": "\u00e4"}, "n": {"N": "1"}},
    ConditionExpression="attribute_not_exists(pk)",
    ReturnValuesOnConditionCheckFailure="ALL_OLD",
)
DELETE_ITEM: Call = lambda client: client.delete_item(TableName="t", Key={"pk": {"S": "a"}})  # noqa: E731
QUERY: Call = lambda client: client.query(TableName="t", KeyConditionExpression="pk = :a", Limit=1)  # noqa: E731

ITEM = {"pk": {"S": "\u00e4"}, "n": {"N": "1.50"}, "b": {"BOOL": True}, "l": {"L": [{"NULL": True}]}}
ANSWERS = [
    ("dynamodb", READ, {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {}}),
    ("dynamodb", READ, {"Responses": {}, "UnprocessedKeys": {"t": {"Keys": [{"pk": {"S": "a"}}]}}}),
    ("dynamodb", GET_ITEM, {}),
    ("dynamodb", PUT_ITEM, {}),
    ("dynamodb", DELETE_ITEM, {}),
    ("dynamodb", GET_ITEM, {"Item": {"B": {"B": "AP8="}, "s": {"BS": ["AP8=", ""]}, "S": {"S": "B"}}}),
    ("dynamodb", GET_ITEM, {"Item": {"m": {"M": {"B": {"S": "x"}, "BS": {"L": [{"B": "AA=="}]}}}}}),
    (
        "dynamodb",
        QUERY,
        {"Items": [ITEM], "Count": 1, "ScannedCount": 1, "LastEvaluatedKey": {"pk": {"S": "a"}}},
    ),
    ("kinesis", PUT, {"FailedRecordCount": 0, "Records": [{"SequenceNumber": "1", "ShardId": "s"}]}),
    (
        "kinesis",
        PUT,
        {"FailedRecordCount": 1, "Records": [{"ErrorCode": "InternalFailure", "ErrorMessage": "m"}]},
    ),
    ("kms", VERIFY, {"KeyId": "k", "SignatureValid": True, "SigningAlgorithm": "ECDSA_SHA_256"}),
]


@pytest.mark.parametrize(("service", "call", "content"), ANSWERS)
def test_the_same_answer_is_read_as_the_same_result(service: str, call: Call, content: Any) -> None:
    with serving(script=lambda _: answer(content, x_amzn_requestid="r-1")) as server:
        botocores, lean = outcomes(service, call, at(server.url))
    assert lean == botocores
    assert lean.status == 200


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("dynamodb", READ),
        ("dynamodb", QUERY),
        ("dynamodb", PUT_ITEM),
        ("dynamodb", DELETE_ITEM),
        ("kinesis", PUT),
        ("kms", VERIFY),
    ],
)
def test_the_same_call_is_sent_as_the_same_request(service: str, call: Call) -> None:
    with serving(script=lambda _: answer({})) as server:
        outcomes(service, call, at(server.url))
    theirs, ours = server.received
    names = ("x-amz-target", "content-type", "host", "content-length")
    assert (ours.head.split("\r\n")[0], [ours.headers[name] for name in names[:3]]) == (
        theirs.head.split("\r\n")[0],
        [theirs.headers[name] for name in names[:3]],
    )
    assert json.loads(ours.body) == json.loads(theirs.body)
    signed = ours.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    assert signed == theirs.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]


REFUSALS = {
    "throttled": answer({"__type": "ThrottlingException", "message": "slow"}, 400),
    "with a namespace": answer(
        {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "Message": "no"}, 400
    ),
    "with an address": answer({"__type": "AccessDeniedException:http://internal/", "message": "no"}, 400),
    "a wrong clock": answer({"__type": "InvalidSignatureException", "message": "Signature expired"}, 403),
    "of a kind nobody has heard of": answer({"__type": "x#Unheard", "message": "?"}, 400),
    "of another shape": answer({"reason": "because"}, 400),
    "an HTML page": answer(b"<html><body>Service Unavailable</body></html>", 503, content_type="text/html"),
    "an HTML page, not our fault": answer(b"<html>no</html>", 403),
    "an empty body": answer(b"", 500),
    "an empty body, not our fault": answer(b"", 413),
    "JSON that was cut": answer(b'{"__type": "Thrott', 400),
    "an error of the service": answer({"__type": "InternalServerError", "message": "sorry"}, 500),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(("service", "call"), [("dynamodb", READ), ("kinesis", PUT), ("kms", VERIFY)])
def test_a_refusal_is_the_same_error(service: str, call: Call, refusal: str) -> None:
    with serving(script=lambda _: REFUSALS[refusal]) as server:
        botocores, lean = outcomes(service, call, at(server.url))
    assert (lean.code, lean.message, lean.status) == (botocores.code, botocores.message, botocores.status)
    assert lean.code


@pytest.mark.parametrize("more", [{}, {"Item": ITEM}], ids=["without an item", "with the item"])
def test_a_condition_that_does_not_hold_tells_of_the_same_item(more: dict[str, Any]) -> None:
    step = answer({"__type": "x#ConditionalCheckFailedException", "message": "no", **more}, 400)
    items = []
    for make in CLIENTS:
        with serving(step) as server, pytest.raises(ClientError) as refused:
            PUT_ITEM(make("dynamodb", at(server.url)))
        items.append(refused.value.response.get("Item"))
    assert items == [more.get("Item")] * 2


def test_a_signature_that_is_none_is_the_clients_own_error_on_both() -> None:
    step = answer({"__type": "KMSInvalidSignatureException"}, 400)
    for make in CLIENTS:
        with serving(step) as server:
            client = make("kms", at(server.url))
            with pytest.raises(client.exceptions.KMSInvalidSignatureException):
                VERIFY(client)


BREAKS = {
    "closed before a byte": Step(then=Then.CLOSE),
    "reset before a byte": Step(then=Then.RESET),
    "silent": Step(then=Then.HANG),
    "silent in the body": Step(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"a"', Then.HANG),
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize(("service", "call"), [("dynamodb", READ), ("kinesis", PUT), ("kms", VERIFY)])
def test_a_connection_that_breaks_is_the_same_error(service: str, call: Call, how: str) -> None:
    results = []
    for make in CLIENTS:
        with serving(script=lambda _: BREAKS[how]) as server:
            results.append(Outcome.of(call, make(service, at(server.url), seconds=0.4)))
    botocores, lean = results
    assert (lean.error, lean.code) == (botocores.error, botocores.code)
    assert lean.error in ("ConnectionClosedError", "ReadTimeoutError")


@pytest.mark.parametrize(("service", "call"), [("dynamodb", READ), ("kinesis", PUT), ("kms", VERIFY)])
@pytest.mark.parametrize("url", ["refused", "http://nobody.invalid"])
def test_an_address_where_nobody_is_is_the_same_error(service: str, call: Call, url: str) -> None:
    botocores, lean = outcomes(service, call, at(refused_url() if url == "refused" else url))
    assert (lean.error, botocores.error) == ("EndpointConnectionError", "EndpointConnectionError")


# -- where they differ on purpose --


@pytest.mark.parametrize("cut", [b'{"Responses": {"t": [', b"", b"[]", b"<html>fine</html>", b"\xff"])
def test_an_answer_that_is_no_json_object_is_an_error_and_not_an_empty_result(cut: bytes) -> None:
    with serving(answer(cut)) as server, pytest.raises(HTTPClientError, match="is not a JSON object"):
        READ(lean_client("dynamodb", at(server.url)))


def test_a_head_that_ends_early_is_an_error_and_not_an_empty_result() -> None:
    with serving(Step(b"HTTP/1.1 200 OK\r\nContent-Le", Then.CLOSE)) as server:
        client = lean_client("dynamodb", at(server.url))
        with pytest.raises(ConnectionClosedError):
            READ(client)


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
def test_a_body_that_ends_early_is_an_error_even_where_it_is_json(then: Then) -> None:
    step = Step(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", then)
    with serving(step) as server, pytest.raises(ConnectionClosedError):
        READ(lean_client("dynamodb", at(server.url)))


def test_a_body_larger_than_any_answer_is_refused_before_it_is_read() -> None:
    step = Step(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Then.HANG)
    with serving(step) as server, pytest.raises(HTTPClientError, match="larger than 1048576 bytes"):
        READ(lean_client("dynamodb", at(server.url)))


def test_a_refusal_may_name_itself_in_a_header_only() -> None:
    step = answer({}, 400, x_amzn_errortype="ThrottlingException:http://internal/")
    with serving(step) as server, pytest.raises(ClientError, match=r"\(ThrottlingException\)"):
        READ(lean_client("dynamodb", at(server.url)))


# -- what only the lean ones promise --


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
def test_a_call_that_meets_a_closed_connection_is_sent_again_on_a_fresh_one(then: Then) -> None:
    def script(request: Received) -> Step:
        # The first connection answers once, and has nothing to say to a second call.
        first_again = request.connection == 1 and len(server.received) > 1
        return Step(then=then) if first_again else answer({"Responses": {}})

    with serving(script=script) as server:
        client = lean_client("dynamodb", at(server.url))
        assert READ(client)["Responses"] == READ(client)["Responses"] == {}
    assert [request.connection for request in server.received] == [1, 1, 2]


def test_a_call_is_sent_again_once_only() -> None:
    def script(_: Received) -> Step:
        return answer({}) if len(server.received) == 1 else Step(then=Then.CLOSE)

    with serving(script=script) as server:
        client = lean_client("dynamodb", at(server.url))
        READ(client)
        with pytest.raises(ConnectionClosedError):
            READ(client)
    assert len(server.received) == 3


def test_a_call_of_which_a_part_was_answered_is_not_sent_again() -> None:
    with serving(answer({}), Step(b"HTTP/1.1 200 OK\r\n", Then.CLOSE)) as server:
        client = lean_client("dynamodb", at(server.url))
        READ(client)
        with pytest.raises(ConnectionClosedError):
            READ(client)
    assert len(server.received) == 2


def test_a_call_that_waited_in_vain_is_not_sent_again() -> None:
    with serving(answer({}), Step(then=Then.HANG)) as server:
        client = lean_client("dynamodb", at(server.url), seconds=0.4)
        READ(client)
        with pytest.raises(ReadTimeoutError):
            READ(client)
    assert len(server.received) == 2


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
@pytest.mark.parametrize(
    "call",
    [lambda c: READ(c.bounded(0.1)), lambda c: c.call("BatchGetItem", {}, timeout_seconds=0.1)],
    ids=["bounded", "timeout_seconds"],
)
def test_a_call_ends_in_time_though_bytes_keep_coming(head: bytes, call: Call) -> None:
    with serving(Step(head, Then.DRIP)) as server:
        client = lean_client("dynamodb", at(server.url), seconds=30)
        with pytest.raises(ReadTimeoutError):
            call(client)


def test_what_is_bounded_shares_the_clients_connections() -> None:
    with serving(script=lambda _: answer({})) as server:
        client = lean_client("dynamodb", at(server.url))
        for asked in (client, client.bounded(1), client.bounded(2), client):
            READ(asked)
    assert {request.connection for request in server.received} == {1}


# -- S3 --

GET: Call = lambda client: client.get_object(Bucket="bucket", Key="a b/\u00e4~+.txt")  # noqa: E731
S3_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>a &amp; b</Message>'
    "<RequestId>r</RequestId></Error>"
)


def put_once(client: Any) -> Any:
    return client.put_object(Bucket="bucket", Key="//..//k", Body=b"\x00\xff", IfNoneMatch="*")


@pytest.mark.parametrize("call", [GET, put_once])
@pytest.mark.parametrize(
    "step",
    [
        *(
            answer(S3_ERROR.format(code).encode(), status)
            for code, status in (
                ("NoSuchKey", 404),
                ("AccessDenied", 403),
                ("PreconditionFailed", 412),
                ("ConditionalRequestConflict", 409),
                ("SlowDown", 503),
                ("RequestTimeTooSkewed", 403),
            )
        ),
        answer(b"", 404),
        answer(b"", 500),
        answer(b"<html>busy</html>", 503),
        Step(then=Then.CLOSE),
        Step(then=Then.HANG),
    ],
)
def test_s3_refuses_and_breaks_with_the_same_error(call: Call, step: Step) -> None:
    results = []
    for make in CLIENTS:
        with serving(script=lambda _: step) as server:
            results.append(Outcome.of(call, make("s3", at(server.url), seconds=0.4)))
    botocores, lean = results
    assert lean == botocores


@pytest.mark.parametrize("call", [GET, put_once])
def test_s3_is_asked_at_the_same_path(call: Call) -> None:
    with serving(script=lambda _: answer(b"")) as server:
        for make in CLIENTS:
            call(make("s3", at(server.url)))
    theirs, ours = server.received
    assert ours.head.split("\r\n")[0] == theirs.head.split("\r\n")[0]


def test_what_is_put_carries_the_hash_that_is_signed_and_kept() -> None:
    with serving(answer(b"")) as server:
        put_once(lean_client("s3", at(server.url)))
    (request,) = server.received
    assert request.body == b"\x00\xff"
    assert request.headers["x-amz-content-sha256"] == sha256(request.body).hexdigest()
    assert request.headers["if-none-match"] == "*"
    signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "if-none-match", "x-amz-checksum-sha256", "x-amz-content-sha256"} <= {*signed}


@pytest.mark.parametrize(
    "passing", [answer(b"", 503), Step(then=Then.CLOSE), Step(then=Then.HANG), answer(b"", 429)]
)
def test_a_passing_failure_of_s3_is_tried_as_often_as_was_said(passing: Step) -> None:
    limits = Limits(0.1, 0.2, 1_000)
    with serving(passing, answer(b"kept"), passing, passing) as server:
        client, another = (
            S3Client(limits, attempts=2, pause=no_pause, environment=at(server.url)) for _ in range(2)
        )
        assert GET(client)["Body"].read() == b"kept"
        with pytest.raises((BotoCoreError, ClientError)):
            GET(another)
    assert len(server.received) == 4


def test_what_s3_refuses_for_good_is_not_tried_again() -> None:
    with serving(answer(b"", 403)) as server:
        client = S3Client(Limits(1, 1, 1_000), attempts=2, pause=no_pause, environment=at(server.url))
        with pytest.raises(ClientError):
            GET(client)
    assert len(server.received) == 1


# -- on the emulator --


@pytest.mark.integration
class TestOnTheEmulator:
    @pytest.fixture
    def name(self) -> str:
        return f"lean-{uuid4()}"

    @pytest.fixture
    def compare(self, local_stack: LocalStack) -> Callable[[str, Call], Outcome]:
        """Makes a call on both clients, and gives what both came to."""

        def compare(service: str, call: Call) -> Outcome:
            botocores, lean = outcomes(service, call, local_stack.environment)
            assert lean == botocores
            return lean

        return compare

    def test_items(self, local_stack: LocalStack, compare: Callable[[str, Call], Outcome], name: str) -> None:
        dynamodb = local_stack.client("dynamodb")
        create_features_table(dynamodb, name)
        item = {"pk": {"S": "\u00e4"}, "n": {"N": "1.5"}, "x": {"B": b"\x00\xff"}, "t": {"BOOL": False}}
        dynamodb.put_item(TableName=name, Item=item)
        for key in ("\u00e4", "nobody"):
            keys = [{"pk": {"S": key}}]
            assert compare(
                "dynamodb",
                lambda c, keys=keys: c.batch_get_item(RequestItems={name: {"Keys": keys}}),
            ).result
            compare("dynamodb", lambda c, keys=keys: c.get_item(TableName=name, Key=keys[0]))
        condition = {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "\u00e4"}},
        }
        assert compare("dynamodb", lambda c: c.query(TableName=name, **condition)).result["Items"] == [item]
        for wrong in ({}, {"pk": {"N": "1"}}, {"other": {"S": "a"}}):
            assert compare("dynamodb", lambda c, wrong=wrong: c.get_item(TableName=name, Key=wrong)).code
        assert compare("dynamodb", lambda c: c.get_item(TableName="absent", Key=keys[0])).code

    def test_records(self, compare: Callable[[str, Call], Outcome]) -> None:
        assert compare("kinesis", PUT).code == "ResourceNotFoundException"

    def test_signatures(self, local_stack: LocalStack, compare: Callable[[str, Call], Outcome]) -> None:
        kms = local_stack.client("kms")
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        asked = {"KeyId": key, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
        signature = kms.sign(**asked, Message=bytes(32))["Signature"]
        verify: Call = lambda c: c.verify(**asked, Message=bytes(32), Signature=signature)  # noqa: E731
        assert compare("kms", verify).result["SignatureValid"] is True
        other: Call = lambda c: c.verify(**asked, Message=b"1" * 32, Signature=signature)  # noqa: E731
        assert compare("kms", other).code == "KMSInvalidSignatureException"
        assert compare("kms", VERIFY).code

    def test_objects(
        self, local_stack: LocalStack, compare: Callable[[str, Call], Outcome], name: str
    ) -> None:
        local_stack.client("s3").create_bucket(Bucket=name)
        for key in ("plain", "a b/\u00e4~+&=?#%.txt", "deep/er/..name"):
            body = f"the body of {key}".encode()
            lean = lean_client("s3", local_stack.environment)
            lean.put_object(Bucket=name, Key=key, Body=body)
            for make in CLIENTS:
                got = make("s3", local_stack.environment).get_object(Bucket=name, Key=key)
                assert (got["Body"].read(), got["ContentLength"]) == (body, len(body))
            again: Call = lambda c, key=key: c.put_object(  # noqa: E731
                Bucket=name, Key=key, Body=b"2", IfNoneMatch="*"
            )
            assert compare("s3", again).code == "PreconditionFailed"
        assert compare("s3", lambda c: c.get_object(Bucket=name, Key="absent")).code == "NoSuchKey"
        assert compare("s3", lambda c: c.get_object(Bucket=f"{name}x", Key="a")).code == "NoSuchBucket"
