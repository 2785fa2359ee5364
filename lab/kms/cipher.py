"""What the keys do: encrypt, decrypt, sign; with the checks of size and checksum that Cloud KMS makes."""

from __future__ import annotations

import os
from typing import Any

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lab.grpcproxy import Refused
from lab.kms.world import ENCRYPT, HSM, SIGN, KeyRecord

MAGIC, NONCE = b"\x0alab1", 12
HEAD = len(MAGIC) + 16 + 4
MOST, MOST_HSM = 64 * 1024, 8 * 1024
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def checked(request: Any, name: str) -> tuple[bytes, bool]:
    """A bytes field, and whether a checksum came with it; INVALID_ARGUMENT when it does not match."""
    value, field = bytes(getattr(request, name)), f"{name}_crc32c"
    if not request.HasField(field):
        return value, False
    if getattr(request, field).value != google_crc32c.value(value):
        raise Refused(INVALID, f"The checksum in field {field} did not match the data in field {name}.")
    return value, True


def encrypt(record: KeyRecord, version: int, plain: bytes, aad: bytes) -> bytes:
    """Ciphertext that names its key and version."""
    _of_purpose(record, ENCRYPT, "ENCRYPT_DECRYPT")
    _fits(record, plain, "plaintext", aad)
    nonce, head = os.urandom(NONCE), MAGIC + bytes.fromhex(record.uid) + version.to_bytes(4, "big")
    return head + nonce + AESGCM(record.usable(version)).encrypt(nonce, plain, aad)


def decrypt(record: KeyRecord, ciphertext: bytes, aad: bytes) -> tuple[bytes, int]:
    """Plaintext and version; one INVALID_ARGUMENT for every reason why it does not fit."""
    _of_purpose(record, ENCRYPT, "ENCRYPT_DECRYPT")
    invalid = Refused(INVALID, "Decryption failed: the ciphertext is invalid.")
    head, nonce, rest = ciphertext[:HEAD], ciphertext[HEAD : HEAD + NONCE], ciphertext[HEAD + NONCE :]
    version = int.from_bytes(head[-4:], "big")
    if head[:-4] != MAGIC + bytes.fromhex(record.uid) or str(version) not in record.versions or len(rest) < 16:
        raise invalid
    try:
        return AESGCM(record.usable(version)).decrypt(nonce, rest, aad), version
    except InvalidTag:
        raise invalid from None


def sign(record: KeyRecord, version: int, digest: bytes) -> bytes:
    """A DER signature over a SHA-256 digest."""
    if len(digest) != 32:
        raise Refused(INVALID, "The digest must be a SHA-256 digest of 32 bytes.")
    return _private(record, version).sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def public_pem(record: KeyRecord, version: int) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _private(record, version).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _private(record: KeyRecord, version: int) -> ec.EllipticCurvePrivateKey:
    _of_purpose(record, SIGN, "ASYMMETRIC_SIGN")
    key = serialization.load_der_private_key(record.usable(version), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _of_purpose(record: KeyRecord, purpose: int, word: str) -> None:
    if record.purpose != purpose:
        text = f"{record.name} is not usable for this operation; its purpose must be {word}."
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, text)


def _fits(record: KeyRecord, plain: bytes, name: str, aad: bytes) -> None:
    if record.protection == HSM and len(plain) + len(aad) > MOST_HSM:
        raise Refused(INVALID, f"{name} and additional_authenticated_data may have {MOST_HSM} bytes together.")
    for field, value in ((name, plain), ("additional_authenticated_data", aad)):
        if len(value) > MOST:
            raise Refused(INVALID, f"The field {field} may have at most {MOST} bytes; it has {len(value)}.")
