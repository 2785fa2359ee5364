"""Export files under another project id: each record's key is patched and the fragments are checksummed anew.

A scratch project has a random name of the same length as the real one, so nothing moves in the file.
"""

from __future__ import annotations

import secrets
import struct
from pathlib import Path

import google_crc32c

BLOCK, HEADER = 32 * 1024, 7
FULL, FIRST, LAST = 1, 2, 4
APP_PREFIX = b"dev~"
_HEAD = struct.Struct("<IHB")


class Unreadable(Exception):
    """Not the file that it claims to be."""


def scratch_project(project: str) -> str:
    """A random project id as long as `project` (at least 6 characters)."""
    return "s" + secrets.token_hex(len(project))[: len(project) - 1]


def find_database(content: bytes) -> tuple[str, str]:
    """Project and database id in the first key of an output file."""
    record = content[HEADER : HEADER + int.from_bytes(content[4:6], "little")]
    key = _fields(record).get(13, b"")
    fields = _fields(key)
    app, database = fields.get(13, b""), fields.get(23, b"(default)")
    if not app.startswith(APP_PREFIX):
        raise Unreadable("the first record has no key of this project's kind")
    return app.removeprefix(APP_PREFIX).decode(), database.decode()


def _fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a message that may be cut at its end; stops at any other wire type."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 != 2:
            break
        length, position = _varint(message, position)
        found.setdefault(tag >> 3, message[position : position + length])
        position += length
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            break
    return value, position


def combine(overall: Path, parts: list[tuple[str, Path]]) -> None:
    """Write `overall` from the overall metadata of one export for each collection: (where its listing lies now, metadata)."""
    pointers = b"".join(_pointing(part.read_bytes(), listing) for listing, part in parts)
    overall.write_bytes(_framed(b"3") + _framed(pointers))


def promised(overall: Path) -> int:
    """How many documents the export counted, by its overall metadata."""
    content, total = overall.read_bytes(), 0
    records = content[HEADER + 1 + HEADER :]
    at = 0
    while at < len(records):
        _, at = _varint(records, at)
        size, at = _varint(records, at)
        total += _number(records[at : at + size], 3)
        at += size
    return total


def _number(message: bytes, field: int) -> int:
    """The last varint of a field; 0 when absent."""
    at = found = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        at += value if tag & 7 == 2 else 0
        found = value if tag >> 3 == field and not tag & 7 else found
    return found


def _pointing(content: bytes, listing: str) -> bytes:
    """The record of an emulator's overall metadata (version record first) with another listing path. Its one pointer is
    field 1, the path in it field 2."""
    start = HEADER + 1 + HEADER
    pointer = _fields(content[start:])[1]
    at, out = 0, b""
    while at < len(pointer):
        begin = at
        tag, at = _varint(pointer, at)
        value, at = _varint(pointer, at)
        at += value if tag & 7 == 2 else 0
        out += b"\x12" + _length(len(listing)) + listing.encode() if tag >> 3 == 2 else pointer[begin:at]
    return b"\x0a" + _length(len(out)) + out


def _length(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _length(value >> 7)


def _framed(data: bytes) -> bytes:
    """One full fragment."""
    return _HEAD.pack(_masked(bytes([FULL]) + data), len(data), FULL) + data


def repatch(path: Path, before: str, after: str) -> None:
    """In place: keys that carry project `before` carry `after` (equally long) from now on."""
    if len(before) != len(after):
        raise ValueError(f"{before} and {after} differ in length")
    content = bytearray(path.read_bytes())
    old, new = _app(before), _app(after)
    record: list[tuple[int, int]] = []
    for start, length, kind in _fragments(bytes(content), path):
        record = [(start, length)] if kind in (FULL, FIRST) else [*record, (start, length)]
        if kind in (FULL, LAST):
            _patch(content, record, old, new, path)
    path.write_bytes(content)


def _app(project: str) -> bytes:
    """Field 13 (app) of a key."""
    app = APP_PREFIX + project.encode()
    return b"\x6a" + bytes([len(app)]) + app


def _fragments(content: bytes, path: Path) -> list[tuple[int, int, int]]:
    """(start of the data, length, type) of each fragment, checksums verified."""
    found, position = [], 0
    while position < len(content):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        crc, length, kind = _HEAD.unpack_from(content, position) if position + HEADER <= len(content) else (0, 0, 0)
        start = position + HEADER
        if not kind or start + length > len(content) or _masked(content[start - 1 : start + length]) != crc:
            raise Unreadable(f"{path.name} is damaged at byte {position}")
        found.append((start, length, kind))
        position = start + length
    return found


def _patch(content: bytearray, record: list[tuple[int, int]], old: bytes, new: bytes, path: Path) -> None:
    """The key is the first field of an entity, so the first occurrence is the key's."""
    data = b"".join(content[start : start + length] for start, length in record)
    if old not in data:
        raise Unreadable(f"{path.name} holds a record of another project at byte {record[0][0]}")
    patched, taken = data.replace(old, new, 1), 0
    for start, length in record:
        content[start : start + length] = patched[taken : taken + length]
        struct.pack_into("<I", content, start - HEADER, _masked(bytes(content[start - 1 : start + length])))
        taken += length


def _masked(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
