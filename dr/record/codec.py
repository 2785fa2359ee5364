"""Versioned JSON of everything that is stored: the same value always gives the same bytes.

`{"format": 1, "kind": "point", ...fields}`; UTF-8, keys sorted, no blanks, one line feed at the end.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import google_crc32c

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.record.shapes import ShapeError
from dr.record.values import KINDS

FORMAT = 1
T = TypeVar("T")


def encode(value: object) -> bytes:
    """Bytes of one of `values.KINDS`. Raises ValueError for details that are not JSON: a bug of who made the value."""
    kind, shape = KINDS[type(value)]
    return dump({"format": FORMAT, "kind": kind, **shape.write(value)})


def decode(data: bytes, kind: type[T], where: str) -> T:
    """Inverse of `encode`. Raises DrError NEWER_FORMAT or DAMAGED, naming `where` (the object that was read)."""
    name, shape = KINDS[kind]
    body = open_envelope(data, name, where)
    try:
        return cast(T, shape.read(body, ""))
    except (ShapeError, ValueError) as error:
        raise DrError(DAMAGED, f"{where} is damaged: {error}") from error


def to_json(value: object) -> Mapping[str, object]:
    """The value's own fields, without the envelope: to be carried inside another value's details."""
    return cast(Mapping[str, object], KINDS[type(value)][1].write(value))


def from_json(body: Mapping[str, object], kind: type[T], where: str) -> T:
    """Inverse of `to_json`. Raises DrError DAMAGED."""
    try:
        return cast(T, KINDS[kind][1].read(body, ""))
    except ValueError as error:
        raise DrError(DAMAGED, f"{where} is damaged: {error}") from error


def dump(body: Mapping[str, object]) -> bytes:
    """Deterministic bytes of plain JSON."""
    line = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return line.encode() + b"\n"


def open_envelope(data: bytes, kind: str, where: str) -> dict[str, Any]:
    """The fields inside the envelope. Raises DrError NEWER_FORMAT or DAMAGED."""
    try:
        body = json.loads(data, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DrError(DAMAGED, f"{where} is damaged: not JSON ({error})") from error
    found = body.pop("format", None) if isinstance(body, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise DrError(DAMAGED, f"{where} is damaged: it does not say its format")
    if found > FORMAT:
        hint = "use a newer dr to read it"
        raise DrError(NEWER_FORMAT, f"{where} has format {found}; this dr reads up to {FORMAT}", hint=hint)
    if body.pop("kind", None) != kind:
        raise DrError(DAMAGED, f"{where} is damaged: it is no {kind}")
    return cast(dict[str, Any], body)


def sha256(data: bytes) -> str:
    """Hex digest, as manifests and plans pin each other."""
    return hashlib.sha256(data).hexdigest()


def crc32c(data: bytes) -> str:
    """Base64 of the big-endian checksum, as Cloud Storage writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("a key appears twice")
    return body


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
