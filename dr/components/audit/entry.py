"""From a message to an entry of the log, or to the reason why it is none. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Any

from dr.changelog import Entry
from dr.changelog.entries import dump, read_entry
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json
from dr.vendors.pubsub import Message

LARGEST = 1 << 20
"""Bytes of one entry; Cloud Logging's own limit is 256 KiB."""
QUARANTINE = "quarantine/"
_DIGEST = 8
_MARK = f'"key":"{QUARANTINE}'.encode()


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that is no log entry; it is kept as it came."""

    message: Message
    reason: str


def read_message(message: Message) -> Entry | Poison:
    """An entry is identified by its log, timestamp and insertId, as Cloud Logging itself removes duplicates."""
    try:
        return _read(message)
    except (ValueError, RecursionError) as error:
        return Poison(message, str(error)[:200])


def _read(message: Message) -> Entry:
    if len(message.data) > LARGEST:
        raise ValueError(f"{len(message.data)} bytes are more than a log entry can have")
    body = _DECODE(message.data.decode())
    if not isinstance(body, dict):
        raise ValueError("it is no JSON object")
    for name in ("logName", "insertId"):
        _text(body, name)
    at = parse_instant(_text(body, "timestamp"))
    told = {"id": message.id, "published": format_instant(message.published)}
    entry = Entry(at, key_of(body), {"entry": body, "message": told})
    if b"\\u" in message.data:
        dump(entry.data)  # a lone surrogate can be written as an escape only: that is no text that could be kept
    return entry


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {name}" if value is None else f"its {name} is no text: {value!r}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("a key appears twice")
    return body


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is more than a number can be")
    return number


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def key_of(body: Json) -> str:
    """What identifies an entry: `timestamp|logName|insertId`."""
    log = str(body["logName"]).replace("|", "%7C")
    return f"{body['timestamp']}|{log}|{body['insertId']}"


def fingerprint(data: Json) -> str:
    """SHA-256 of the entry's canonical JSON: keys sorted, no blanks, UTF-8. What a witness compares."""
    return sha256(dump(data).rstrip(b"\n")).hexdigest()


def short(key: str) -> int:
    """64 bits of a key; only keys of the same minute are ever compared by it."""
    return int.from_bytes(sha256(key.encode()).digest()[:_DIGEST], "big")


# --- quarantine ----------------------------------------------------------------------------------------------------


def quarantine_name(folder: str, poison: Poison) -> str:
    """Stable over redeliveries: by the day of publishing and the message's id."""
    safe = sha256(poison.message.id.encode()).hexdigest()[:32]
    return f"{QUARANTINE}{folder}/{poison.message.published:%Y/%m/%d}/{safe}.json"


def quarantine_body(source: str, poison: Poison) -> bytes:
    """The stored object: everything that was delivered."""
    message = poison.message
    return dump(
        {
            "format": 1,
            "kind": "quarantined",
            "source": source,
            "message": message.id,
            "published": format_instant(message.published),
            "attributes": dict(message.attributes),
            "reason": poison.reason,
            "data": base64.b64encode(message.data).decode(),
        }
    )


def quarantine_entry(name: str, body: bytes, poison: Poison) -> Entry:
    """What the log says of it: so that it is counted, chained, and known after a restart."""
    told: Json = {
        "object": name,
        "sha256": sha256(body).hexdigest(),
        "size": len(body),
        "reason": poison.reason,
    }
    return Entry(poison.message.published, f"{QUARANTINE}{poison.message.id}", {"quarantined": told})


def quarantined(where: str, line: bytes) -> Mapping[str, object] | None:
    """What a line of the log says of a quarantined message; None for an entry."""
    if _MARK not in line:
        return None
    entry = read_entry(line, where)
    told = entry.data.get("quarantined") if entry.key.startswith(QUARANTINE) else None
    return told if isinstance(told, Mapping) else None


_DECODE = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite).decode
