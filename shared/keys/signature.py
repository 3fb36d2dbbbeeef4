"""Sign and verify a JSON object; the signature covers every field but itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature

from shared.errors import SignatureInvalid
from shared.keys.signing import SigningKey, VerifyKey


class Signature(msgspec.Struct, frozen=True):
    key_id: str
    ed25519: str


def signature_of(fields: Mapping[str, Any], key: SigningKey, purpose: bytes = b"") -> Signature:
    """Sign what is going to be written. purpose : what it is to be believed for, and no other."""
    signed = key.sign(purpose + _signed_bytes(fields))
    return Signature(key.key_id, base64.b64encode(signed).decode())


def check_signature(
    fields: Mapping[str, Any],
    signature: Signature | None,
    key: VerifyKey,
    what: str,
    purpose: bytes = b"",
) -> None:
    """Prove that what was read is what was signed; `what` names it in the sentence.

    Raises:
        SignatureInvalid: it is not signed, or by another key, or for another purpose.
    """
    if signature is None:
        raise SignatureInvalid(f"{what}: not signed")
    try:
        key.verify(base64.b64decode(signature.ed25519), purpose + _signed_bytes(fields))
    except (InvalidSignature, ValueError):
        raise SignatureInvalid(
            f"{what}: the signature is not by the trusted key {key.key_id}"
            f" (it names key {signature.key_id})"
        ) from None


def _signed_bytes(fields: Mapping[str, Any]) -> bytes:
    """What a signature is over: the JSON as it is on disk, whatever this code knows of it.

    Fields that a later release adds, or that it no longer reads, leave older signatures valid.
    """
    unsigned = {name: value for name, value in fields.items() if name != "signature"}
    return msgspec.json.encode(unsigned, order="deterministic")
