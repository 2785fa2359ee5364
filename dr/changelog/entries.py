"""Entries, and the text of a segment: a header line and one line of JSON for each entry. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.model.timeline import format_instant, parse_instant
from dr.ports import Json

FORMAT = 1
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_HEADER = {"format", "kind", "source", "seq", "prev", "watermark", "entries", "first", "last"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: when it happened, to what, and what it was."""

    at: datetime
    key: str
    data: Json


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends. `seq` 0, `sha256` "" and no watermark: it is empty."""

    seq: int
    sha256: str
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What a segment says of itself. `sha256` is of its text, header line included, which the next one names as `prev`."""

    source: str
    seq: int
    prev: str
    watermark: datetime | None
    entries: int
    first: datetime | None
    last: datetime | None
    sha256: str = ""


def dump(body: Json) -> bytes:
    """One line of deterministic JSON. Raises ValueError for what is not JSON."""
    return _ENCODE(body).encode() + b"\n"


def encode_entry(entry: Entry) -> bytes:
    """Raises ValueError (UnicodeEncodeError too) when the data cannot be written as JSON."""
    return dump({"at": format_instant(entry.at), "key": entry.key, "data": entry.data})


def build_text(head: SegmentHead, lines: Sequence[bytes]) -> bytes:
    """The text of a segment."""
    body = {
        "format": FORMAT,
        "kind": "segment",
        "source": head.source,
        "seq": head.seq,
        "prev": head.prev,
        "watermark": _written(head.watermark),
        "entries": len(lines),
        "first": _written(head.first),
        "last": _written(head.last),
    }
    return b"".join((dump(body), *lines))


def read_segments(lines: Iterable[bytes], where: str) -> Iterator[tuple[SegmentHead, list[bytes]]]:
    """Consecutive segment texts, each with its entry lines; every text is hashed. Raises DrError DAMAGED, NEWER_FORMAT naming `where`."""
    stream = iter(lines)
    for line in stream:
        head, digest = read_header(line, where), sha256(line)
        body: list[bytes] = []
        for entry in stream if head.entries else ():
            digest.update(entry)
            body.append(entry)
            if len(body) == head.entries:
                break
        if len(body) != head.entries:
            raise damaged(where, f"segment {head.seq} has {len(body)} of {head.entries} entries")
        yield _hashed(head, digest.hexdigest()), body


def _hashed(head: SegmentHead, digest: str) -> SegmentHead:
    return SegmentHead(head.source, head.seq, head.prev, head.watermark, head.entries, head.first, head.last, digest)


def read_header(line: bytes, where: str) -> SegmentHead:
    """Raises DrError DAMAGED, NEWER_FORMAT."""
    body = _parsed(line, where)
    refuse_newer(body, where)
    if set(body) != _HEADER or body["kind"] != "segment":
        raise damaged(where, "this is no header of a segment")
    try:
        return SegmentHead(
            source=_text(body["source"]),
            seq=_count(body["seq"]),
            prev=_text(body["prev"]),
            watermark=_read(body["watermark"]),
            entries=_count(body["entries"]),
            first=_read(body["first"]),
            last=_read(body["last"]),
        )
    except ValueError as error:
        raise damaged(where, str(error)) from error


def read_entry(line: bytes, where: str) -> Entry:
    """Raises DrError DAMAGED."""
    body = _parsed(line, where)
    try:
        if set(body) != {"at", "key", "data"} or not isinstance(body["data"], dict):
            raise ValueError("an entry has at, key and data")
        return Entry(parse_instant(_text(body["at"])), _text(body["key"]), body["data"])
    except ValueError as error:
        raise damaged(where, str(error)) from error


def refuse_newer(body: dict[str, Any], where: str) -> None:
    """Raises DrError NEWER_FORMAT, or DAMAGED where no format is named."""
    found = body.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise damaged(where, "it does not say its format")
    if found > FORMAT:
        hint = "use a newer dr to read it"
        raise DrError(NEWER_FORMAT, f"{where} has format {found}; this dr reads up to {FORMAT}", hint=hint)


def damaged(where: str, why: str) -> DrError:
    return DrError(DAMAGED, f"{where} is damaged: {why}")


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        if not line.endswith(b"\n"):
            raise ValueError("its last line is cut")
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise damaged(where, f"not JSON ({error})") from error
    if not isinstance(body, dict):
        raise damaged(where, "a line is no JSON object")
    return body


def _written(value: datetime | None) -> str | None:
    return format_instant(value) if value else None


def _read(value: object) -> datetime | None:
    return parse_instant(_text(value)) if value is not None else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
