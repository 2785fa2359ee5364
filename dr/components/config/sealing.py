"""Secrets leave this process sealed only; a keyed digest beside them tells whether they changed."""

from __future__ import annotations

import hmac
import json
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from dr.changelog import Entry
from dr.changelog.seal import Sealer
from dr.components.config.normal import Plain
from dr.components.config.state import DIGEST_KEYS, KEY, Held, ObjectKey, State
from dr.errors import DAMAGED, DrError
from dr.model.ids import SourceId
from dr.ports import Json
from dr.vendors.kubernetes_objects import mapping, text

_DATA = "data"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SecretBox:
    """Seals one source's Secrets. The digest's key is of this process, or that of the log where it may be opened."""

    sealer: Sealer
    source: SourceId
    key_id: str
    key: bytes

    def split(self, plain: Plain) -> tuple[Plain, Json]:
        """A normalised Secret without its data, and the data."""
        return {name: value for name, value in plain.items() if name != _DATA}, mapping(plain, _DATA)

    def digest(self, data: Json) -> Json:
        return {"key": self.key_id, "hmac": hmac.new(self.key, _canonical(data), sha256).hexdigest()}

    def seal(self, key: ObjectKey, data: Json) -> Json:
        """Raises DrError, as `Sealer.seal`."""
        return self.sealer.seal(_canonical(data), context(self.source, str(key)))


def opened(sealer: Sealer, source: SourceId, key: ObjectKey, held: Held) -> Plain:
    """The whole object again. Raises DrError, as `Sealer.open`; DAMAGED names the object."""
    if held.sealed is None:
        return dict(held.object)
    try:
        data = json.loads(sealer.open(held.sealed, context(source, str(key))))
    except DrError as error:
        raise DrError(error.kind, f"{key}: {error.message}", hint=error.hint) from error
    return {**held.object, **({_DATA: data} if data else {})}


def box_for(sealer: Sealer, source: SourceId, state: State, now: datetime) -> tuple[SecretBox, Entry | None]:
    """The log's own newest key of digests where this identity may open it, else a new one and the entry that keeps it.

    A capture that may only encrypt cannot open: then every Secret whose version changed is written once more at start.
    """
    for key_id in sorted(state.keys, key=lambda name: state.keys[name].at, reverse=True)[:1]:
        if (key := _reopened(sealer, source, state.keys[key_id])) is not None:
            return SecretBox(sealer, source, key_id, key), None
    key_id, key = os.urandom(6).hex(), os.urandom(_KEY_BYTES)
    name = str(ObjectKey("", DIGEST_KEYS, key_id))
    sealed = sealer.seal(b64encode(key), context(source, name))
    return SecretBox(sealer, source, key_id, key), Entry(now, name, {"op": KEY, "sealed": sealed})


def _reopened(sealer: Sealer, source: SourceId, entry: Entry) -> bytes | None:
    try:
        return b64decode(sealer.open(mapping(entry.data, "sealed"), context(source, entry.key)))
    except DrError as error:
        if error.kind is DAMAGED:
            raise
        return None


def context(source: SourceId, key: str) -> bytes:
    """What a sealed value is bound to: moved to another object it does not open."""
    return f"{source} {key}".encode()


def same_digest(first: Json | None, second: Json | None) -> bool | None:
    """Whether two Secrets hold the same; None when only opening them can tell."""
    if not first or not second or text(first, "key") != text(second, "key"):
        return None
    return hmac.compare_digest(text(first, "hmac"), text(second, "hmac"))


def _canonical(data: Json) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
