"""Which client the score function gets, where it connects to, and whose credentials it signs with."""

from __future__ import annotations

import datetime
import json
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import NoCredentialsError, NoRegionError

from quicksilver.aws import credentials
from quicksilver.aws.connections import Limits
from quicksilver.aws.credentials import credentials_from, frozen
from quicksilver.aws.endpoints import given_endpoint, region_from, regional_host
from quicksilver.aws.hot_clients import hot_client, needs_boto3
from quicksilver.aws.json_client import DynamoDBClient, JsonClient
from quicksilver.aws.s3_client import S3Client
from quicksilver.errors import InvalidInput
from tests.scripted_server import answer, serving

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
PLAIN = {**KEYS, "AWS_REGION": "eu-west-1"}
LIMITS = Limits(1, 1, 1_000)


@pytest.mark.parametrize("service", ["dynamodb", "kinesis", "kms", "s3"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"])
def test_a_host_is_the_one_botocore_knows(service: str, region: str) -> None:
    theirs = boto3.client(
        service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x"
    ).meta.endpoint_url
    ours = f"https://{regional_host(service, region)}"
    # S3's oldest region is also known without its name, and botocore prefers that.
    assert ours.replace("s3.us-east-1", "s3") == theirs.replace("s3.us-east-1", "s3")


@pytest.mark.parametrize(
    "region", ["us-iso-east-1", "us-isob-east-1", "eusc-de-east-1", "evil.com/", "aws-global"]
)
def test_a_region_of_a_partition_we_do_not_know_is_refused_in_a_sentence(region: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"The host of kms in the region .* is not known; set AWS_ENDPOINT_URL_KMS"
    ):
        regional_host("kms", region)


def test_the_address_that_is_set_for_a_service_goes_before_that_of_all() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_KMS": "http://kms"}
    assert (given_endpoint("kms", environment), given_endpoint("s3", environment)) == (
        "http://kms",
        "http://all",
    )
    assert given_endpoint("kms", {**environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}) is None
    assert given_endpoint("kms", {}) is None


def test_the_region_is_the_functions_own_and_must_be_there() -> None:
    assert region_from({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}) == "a"
    assert region_from({"AWS_DEFAULT_REGION": "b"}) == "b"
    with pytest.raises(NoRegionError):
        region_from({})


@pytest.mark.parametrize("service", ["dynamodb", "kinesis", "kms", "s3"])
def test_in_a_plain_environment_clients_are_lean(service: str) -> None:
    assert isinstance(hot_client(service, 1, environment=PLAIN), JsonClient | S3Client)


@pytest.mark.parametrize(
    "more",
    [
        {"HTTPS_PROXY": "http://proxy:3128"},
        {"https_proxy": "http://proxy:3128"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "TRUE"},
        {"AWS_REGION": "us-iso-east-1"},
        {"AWS_REGION": ""},
    ],
)
def test_what_only_boto3_knows_is_left_to_boto3(
    more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs_boto3("dynamodb", {**PLAIN, **more})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert isinstance(hot_client("dynamodb", 1, environment={**PLAIN, **more}), BaseClient)


def test_an_object_is_found_by_its_buckets_host_or_by_path_where_that_cannot_be() -> None:
    def place(bucket: str, **environment: str) -> tuple[str, str]:
        client = S3Client(LIMITS, pause=lambda _: None, environment={**PLAIN, **environment})
        origin, path = client._place(bucket, "packages/\u00e4 b")
        return origin.host, path

    path = "/packages/%C3%A4%20b"
    assert place("models") == ("models.s3.eu-west-1.amazonaws.com", path)
    assert place("models.example") == ("s3.eu-west-1.amazonaws.com", f"/models.example{path}")
    assert place("models", AWS_ENDPOINT_URL="http://localhost:4566") == ("localhost:4566", f"/models{path}")
    assert place("models", AWS_ENDPOINT_URL_S3="https://vpce.example/s3") == (
        "vpce.example",
        f"/s3/models{path}",
    )


# -- credentials --


def test_keys_of_the_environment_are_taken_as_they_are() -> None:
    assert credentials_from(KEYS)() == ("key", "secret", None)
    assert credentials_from({**KEYS, "AWS_SESSION_TOKEN": "token"})() == ("key", "secret", "token")


class Resolved:
    """What botocore's session finds in the place of a container, a profile, an instance."""

    def __init__(self, found: Any) -> None:
        self.found, self.asked = found, 0

    def __call__(self) -> Resolved:
        return self

    def get_credentials(self) -> Any:
        self.asked += 1
        return self.found


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def resolve(found: Any) -> Resolved:
        resolved = Resolved(found)
        monkeypatch.setattr("botocore.session.Session", resolved)
        credentials._resolved.cache_clear()
        return resolved

    yield resolve
    credentials._resolved.cache_clear()


def expiring(numbers: list[int]) -> RefreshableCredentials:
    """Credentials that have nearly expired each time, and are given a new number then."""

    def refresh() -> dict[str, str]:
        numbers.append(len(numbers))
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
        return {
            "access_key": f"key-{numbers[-1]}",
            "secret_key": "secret",
            "token": f"token-{numbers[-1]}",
            "expiry_time": soon.isoformat(),
        }

    return RefreshableCredentials.create_from_metadata(refresh(), refresh, "test")


@pytest.mark.parametrize("environment", [{}, {**KEYS, "AWS_CREDENTIAL_EXPIRATION": "2026-01-01T00:00:00Z"}])
def test_credentials_that_expire_are_found_once_and_refreshed(
    resolve: Any, environment: dict[str, str]
) -> None:
    resolved = resolve(expiring([]))
    source = credentials_from(environment)
    assert [source().token for _ in range(3)] == ["token-1", "token-2", "token-3"]
    assert resolved.asked == 1


def test_a_call_is_signed_with_the_credentials_of_its_moment() -> None:
    found = expiring([])
    with serving(script=lambda _: answer({})) as server:
        environment = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server.url}
        client = DynamoDBClient(LIMITS, environment=environment, credentials=lambda: frozen(found))
        for _ in range(2):
            client.get_item(TableName="t", Key={})
    for number, request in enumerate(server.received, 1):
        assert request.headers["x-amz-security-token"] == f"token-{number}"
        assert f"Credential=key-{number}/" in request.headers["authorization"]


def test_a_call_without_credentials_is_botocores_error(resolve: Any) -> None:
    resolve(None)
    client = DynamoDBClient(LIMITS, environment={"AWS_REGION": "eu-west-1"})
    with pytest.raises(NoCredentialsError):
        client.get_item(TableName="t", Key={})


def test_a_container_gives_credentials_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with SnapStart: no keys in the environment, and an address to ask for them."""
    given = {
        "AccessKeyId": "container",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    credentials._resolved.cache_clear()
    with serving(script=lambda _: answer(json.dumps(given).encode())) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        keys = credentials_from({})()
    credentials._resolved.cache_clear()
    assert (keys.access_key, keys.token) == ("container", "token")
