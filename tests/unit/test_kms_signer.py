"""The signer in KMS: which call it makes, and what it makes of each refusal. botocore's Stubber speaks for KMS."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.errors import Unavailable

KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"
DIGEST = bytes(range(32))
ASKED = {
    "KeyId": KEY,
    "Message": DIGEST,
    "MessageType": "DIGEST",
    "SigningAlgorithm": "ECDSA_SHA_256",
}


@pytest.fixture
def stub() -> Stubber:
    client = boto3.client(
        "kms", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    stubber = Stubber(client)
    stubber.activate()
    return stubber


@pytest.fixture
def signer(stub: Stubber) -> KmsSigner:
    return KmsSigner(stub.client, KEY)


def test_the_digest_is_signed_as_a_digest_and_not_hashed_again(stub: Stubber, signer: KmsSigner) -> None:
    stub.add_response("sign", {"Signature": b"signature"}, ASKED)
    assert signer.sign(DIGEST) == b"signature"


def test_a_signature_is_verified_by_kms(stub: Stubber, signer: KmsSigner) -> None:
    stub.add_response("verify", {"SignatureValid": True}, {**ASKED, "Signature": b"signature"})
    assert signer.verify(DIGEST, b"signature") is True


def test_a_signature_that_kms_does_not_know_is_false_and_no_error(stub: Stubber, signer: KmsSigner) -> None:
    stub.add_client_error("verify", "KMSInvalidSignatureException")
    assert signer.verify(DIGEST, b"another") is False


def test_no_signature_is_false_without_a_call(stub: Stubber, signer: KmsSigner) -> None:
    assert signer.verify(DIGEST, b"") is False


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "ThrottlingException"])
def test_a_refusal_is_unavailable_and_never_a_verdict(stub: Stubber, signer: KmsSigner, code: str) -> None:
    stub.add_client_error("verify", code)
    stub.add_client_error("sign", code)
    with pytest.raises(Unavailable, match=f"^The signing key refused: {code}\\.$"):
        signer.verify(DIGEST, b"signature")
    with pytest.raises(Unavailable, match=code):
        signer.sign(DIGEST)


def test_an_unreachable_key_is_unavailable(
    stub: Stubber, signer: KmsSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="x")

    monkeypatch.setattr(stub.client, "sign", unreachable)
    with pytest.raises(Unavailable, match="cannot be reached: EndpointConnectionError"):
        signer.sign(DIGEST)
