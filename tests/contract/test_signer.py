"""What every signer promises: in memory, in KMS as moto has it, and in the emulator's KMS over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.memory import MemorySigner
from quicksilver.ports import Signer

DIGEST, OTHER = (hashlib.sha256(text).digest() for text in (b"approved", b"something else"))

MakeSigner = Callable[[bytes], Signer]


@pytest.fixture
def make_signer(make_client: Callable[[str], Any] | None) -> MakeSigner:
    """Makes signers, each with a key of its own."""

    def make(key: bytes) -> Signer:
        if make_client is None:
            return MemorySigner(key)
        client = make_client("kms")
        made = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        return KmsSigner(client, made["KeyMetadata"]["Arn"])

    return make


def test_a_signature_is_of_its_own_digest_and_of_no_other(make_signer: MakeSigner) -> None:
    signer = make_signer(b"one")
    signature = signer.sign(DIGEST)
    assert signer.verify(DIGEST, signature) is True
    assert signer.verify(OTHER, signature) is False


def test_another_keys_signature_does_not_verify(make_signer: MakeSigner) -> None:
    signature = make_signer(b"another").sign(DIGEST)
    assert make_signer(b"one").verify(DIGEST, signature) is False


@pytest.mark.parametrize("change", [lambda s: s[:-1] + bytes([s[-1] ^ 1]), lambda s: s[:-1], lambda _: b""])
def test_an_altered_signature_does_not_verify(
    make_signer: MakeSigner, change: Callable[[bytes], bytes]
) -> None:
    signer = make_signer(b"one")
    assert signer.verify(DIGEST, change(signer.sign(DIGEST))) is False
