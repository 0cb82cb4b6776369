"""Our signatures beside those of botocore's signer: the same bytes, whatever is signed."""

from __future__ import annotations

import datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings, strategies as st

from quicksilver.aws.credentials import FixedKeys
from quicksilver.aws.sigv4 import Signer

NOW = 1_760_000_000.0
PLAIN = FixedKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
SESSION = FixedKeys("ASIAEXAMPLE", "secret/of+one=session", "IQoJb3JpZ2lu//EXAMPLE+token==")


def botocores(
    signer: type[SigV4Auth],
    service: str,
    keys: FixedKeys,
    request: tuple[str, str, str, dict[str, str], bytes],
    *,
    region: str = "eu-west-1",
    now: float = NOW,
) -> dict[str, str]:
    method, host, path, headers, body = request
    signed = AWSRequest(method, f"https://{host}{path}", data=body, headers=headers)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    with patch("botocore.auth.get_current_datetime", lambda *_, **__: moment):
        signer(Credentials(*keys), service, region).add_auth(signed)
    return {name.lower(): value for name, value in signed.headers.items()}


def assert_same(service: str, keys: FixedKeys, request: tuple[str, str, str, dict[str, str], bytes]) -> None:
    method, host, path, headers, body = request
    digest = sha256(body).hexdigest()
    s3 = service == "s3"
    more = {"x-amz-content-sha256": digest} if s3 else {}
    ours = Signer(service, "eu-west-1", lambda: keys).sign(
        method, path, {**headers, **more, "host": host}, digest, NOW
    )
    theirs = botocores(S3SigV4Auth if s3 else SigV4Auth, service, keys, request)
    assert ours == {**theirs, "host": host}


@pytest.mark.parametrize("keys", [PLAIN, SESSION])
@pytest.mark.parametrize("service", ["dynamodb", "kinesis", "kms"])
def test_a_json_call_is_signed_as_botocore_signs_it(service: str, keys: FixedKeys) -> None:
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Target_1.Operation"}
    host = f"{service}.eu-west-1.amazonaws.com"
    assert_same(service, keys, ("POST", host, "/", headers, b'{"a":"\xc3\xa4"}'))


@settings(deadline=None, max_examples=200)
@given(
    key=st.text(
        st.characters(exclude_categories=["Cs"]) | st.sampled_from("/.~ %+?&=#:@!$'()*,;\\^`|\"<>"),
        min_size=1,
    ),
    body=st.binary(max_size=100),
    method=st.sampled_from(["GET", "PUT"]),
    keys=st.sampled_from([PLAIN, SESSION]),
    host=st.sampled_from(["bucket.s3.eu-west-1.amazonaws.com", "127.0.0.1:4566"]),
)
def test_an_object_with_any_key_is_signed_as_botocore_signs_it(
    key: str, body: bytes, method: str, keys: FixedKeys, host: str
) -> None:
    assert_same("s3", keys, (method, host, f"/{quote(key, safe='/~')}", {"if-none-match": "*"}, body))


@settings(deadline=None, max_examples=50)
@given(
    value=st.text("abc \t=,;", max_size=20),
    now=st.integers(0, 4_000_000_000),
    secret=st.text("aB/+=", min_size=1),
)
def test_blanks_in_headers_times_and_secrets_make_no_difference(value: str, now: int, secret: str) -> None:
    keys = FixedKeys("AKID", secret, None)
    request = ("POST", "kms.eu-west-1.amazonaws.com", "/", {"x-amz-target": value}, b"{}")
    ours = Signer("kms", "eu-west-1", lambda: keys).sign(
        "POST", "/", {"x-amz-target": value, "host": request[1]}, sha256(b"{}").hexdigest(), now
    )
    assert ours["authorization"] == botocores(SigV4Auth, "kms", keys, request, now=now)["authorization"]


def test_the_kept_key_is_made_anew_with_the_day_and_with_the_secret() -> None:
    keys = [PLAIN]
    signer = Signer("kms", "eu-west-1", lambda: keys[0])
    request = ("POST", "kms.eu-west-1.amazonaws.com", "/", {"x-amz-target": "T"}, b"{}")
    for keys[0], now in ((PLAIN, NOW), (PLAIN, NOW + 86_400), (SESSION, NOW + 86_400), (PLAIN, NOW)):
        ours = signer.sign(
            "POST", "/", {"x-amz-target": "T", "host": request[1]}, sha256(b"{}").hexdigest(), now
        )
        assert (
            ours["authorization"] == botocores(SigV4Auth, "kms", keys[0], request, now=now)["authorization"]
        )
