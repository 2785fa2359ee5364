"""A DSSE envelope: bytes, what they are, and who signed them (https://github.com/secure-systems-lab/dsse)."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass

DRILL_TYPE = "application/vnd.dr.drill-report.v1+json"
ADDENDUM_TYPE = "application/vnd.dr.drill-addendum.v1+json"


@dataclass(frozen=True, slots=True)
class Signature:
    """`keyid` says which key to try first, and is not trusted."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Without a signature: unsigned."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As DSSE writes it."""
        signatures = [{"keyid": one.keyid, "sig": b64encode(one.sig).decode()} for one in self.signatures]
        return {
            "payload": b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": signatures,
        }

    @property
    def sha256(self) -> str:
        """What the next one in a chain names: of the envelope as JSON, keys sorted, without blanks."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def read_envelope(value: object) -> Envelope:
    """Inverse of `to_json`. Every byte counts: base64 that would be written otherwise is refused. Raises ValueError."""
    if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
        raise ValueError("is no DSSE envelope")
    signatures, kind = value["signatures"], value["payloadType"]
    if not isinstance(signatures, list) or not isinstance(kind, str):
        raise ValueError("has no list of signatures or no payloadType")
    return Envelope(_bytes(value["payload"], "payload"), kind, tuple(map(_signature, signatures)))


def _signature(value: object) -> Signature:
    if not isinstance(value, dict) or value.keys() != {"keyid", "sig"} or not isinstance(value["keyid"], str):
        raise ValueError("has a signature that is none")
    return Signature(value["keyid"], _bytes(value["sig"], "sig"))


def _bytes(value: object, name: str) -> bytes:
    try:
        found = b64decode(value, validate=True) if isinstance(value, str) else None
    except Error:
        found = None
    if found is None or b64encode(found).decode() != value:
        raise ValueError(f"its {name} is no base64")
    return found
