"""DSSE envelopes by securesystemslib: signed by any `Signer`, verified with nothing but a public key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dr.errors import CONFIGURATION, VERIFICATION_FAILED, DrError
from dr.model.sealed import Envelope, Signature
from dr.vendors.loading import preload

if TYPE_CHECKING:
    from dr.ports import Signer

_DSSE = ("securesystemslib.dsse", "securesystemslib.exceptions", "securesystemslib.signer")


def sign(payload: bytes, payload_type: str, signer: Signer) -> Envelope:
    """One signature. Raises DrError as the signer does."""
    preload(*_DSSE)
    from securesystemslib.dsse import Envelope as Dsse

    envelope = Dsse(payload, payload_type, {})
    made = signer.sign(envelope.pae())
    return Envelope(payload, payload_type, (Signature(key_id(signer.public_key()), made),))


def verify(envelope: Envelope, public_key: str) -> None:
    """By this key (PEM). Raises DrError VERIFICATION_FAILED, CONFIGURATION when that is no key."""
    preload(*_DSSE)
    from securesystemslib.dsse import Envelope as Dsse
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import Signature as Signed  # type: ignore[attr-defined]

    key = _key(public_key)
    names = [one.keyid for one in envelope.signatures]
    if len(names) != 1 or names[0] != key.keyid:
        found = names[0][:16] if names else "nobody"
        raise DrError(VERIFICATION_FAILED, f"signed by {found}, not by the key given ({key.keyid[:16]})")
    signed = {one.keyid: Signed(one.keyid, one.sig.hex()) for one in envelope.signatures}
    try:
        Dsse(envelope.payload, envelope.payload_type, signed).verify([key], 1)
    except VerificationError:
        raise DrError(
            VERIFICATION_FAILED, "the signature does not fit: payload, payloadType or signature were changed"
        ) from None


def key_id(public_key: str) -> str:
    """How envelopes name a key: a hash of it. Raises DrError CONFIGURATION."""
    return str(_key(public_key).keyid)


def _key(public_key: str) -> Any:
    preload(*_DSSE)
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

    try:
        return SSlibKey.from_crypto(load_pem_public_key(public_key.encode()))
    except (ValueError, TypeError) as error:
        raise DrError(CONFIGURATION, f"that is no public key in PEM form: {error}") from None
