"""Signatures by a KMS key that never leaves KMS: ECDSA on P-256, over SHA-256 digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.errors import Unavailable


class KmsSigner:
    """``key`` is the key's ARN: an alias could be pointed at another key, whose signatures would then be ours."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    def sign(self, digest: bytes) -> bytes:
        signature: bytes = self._call(self._client.sign, digest)["Signature"]
        return signature

    def verify(self, digest: bytes, signature: bytes) -> bool:
        if not signature:
            return False  # KMS refuses to look at none
        try:
            return bool(self._call(self._client.verify, digest, Signature=signature)["SignatureValid"])
        except self._client.exceptions.KMSInvalidSignatureException:
            return False

    def _call(self, call: Callable[..., Any], digest: bytes, **more: bytes) -> Any:
        try:
            return call(
                KeyId=self._key,
                Message=digest,
                # Without it KMS would sign the digest of the digest.
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
                **more,
            )
        except self._client.exceptions.KMSInvalidSignatureException:
            raise
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise Unavailable(f"The signing key refused: {code}.") from error
        except BotoCoreError as error:
            raise Unavailable(f"The signing key cannot be reached: {type(error).__name__}.") from error
