"""A sealed value as it is stored: format 1, kind `sealed` (docs/keys.md)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.ports import Json

FORMAT, KIND = 1, "sealed"
FIELDS = frozenset({"format", "kind", "keys", "nonce", "ciphertext"})
NONCE_BYTES, TAG_BYTES = 12, 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """`wrapped`: the data key, wrapped by each named key; `ciphertext` ends with its tag of 16 bytes."""

    wrapped: Mapping[str, bytes]
    nonce: bytes
    ciphertext: bytes

    def document(self) -> Json:
        keys = [{"name": name, "wrapped": b64encode(wrapped).decode()} for name, wrapped in self.wrapped.items()]
        texts = {"nonce": b64encode(self.nonce).decode(), "ciphertext": b64encode(self.ciphertext).decode()}
        return {"format": FORMAT, "kind": KIND, "keys": keys, **texts}


def is_sealed(value: object) -> bool:
    """Whether a JSON value says of itself that it is sealed."""
    return isinstance(value, Mapping) and value.get("kind") == KIND and "ciphertext" in value


def read_sealed(document: Json) -> Sealed:
    """Raises DrError DAMAGED, NEWER_FORMAT."""
    version = document.get("format")
    if not isinstance(version, int) or document.get("kind") != KIND:
        raise _damaged("it is none")
    if version > FORMAT:
        raise DrError(NEWER_FORMAT, f"a sealed value has format {version}; this dr reads up to {FORMAT}")
    if set(document) != FIELDS:
        raise _damaged(f"its fields are {', '.join(sorted(document))}")
    sealed = Sealed(_keys(document["keys"]), _bytes(document["nonce"]), _bytes(document["ciphertext"]))
    if len(sealed.nonce) != NONCE_BYTES or len(sealed.ciphertext) < TAG_BYTES:
        raise _damaged("nonce or ciphertext is too short")
    return sealed


def _keys(value: object) -> dict[str, bytes]:
    if not isinstance(value, list) or not value:
        raise _damaged("it names no keys")
    found: dict[str, bytes] = {}
    for entry in value:
        if not isinstance(entry, Mapping) or set(entry) != {"name", "wrapped"} or str(entry["name"]) in found:
            raise _damaged("its list of keys is malformed")
        found[str(entry["name"])] = _bytes(entry["wrapped"])
    return found


def _bytes(value: object) -> bytes:
    try:
        return b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise _damaged("it is not base64") from None


def _damaged(reason: str) -> DrError:
    return DrError(DAMAGED, f"a sealed value is damaged: {reason}")
