"""LevelDB log framing: 32 KiB blocks of checksummed fragments, as in the files of a managed export.

A fragment is `<IHB` (masked CRC32C over type and data, length, type) and its data. A record is one FULL fragment, or FIRST,
any MIDDLE, LAST. A block's last bytes (fewer than a header) are zero. Nothing is skipped and nothing repaired: what does not
fit the format is DAMAGED, with the file and the offset. A cut between two records leaves a valid file: only counts show it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import google_crc32c

from dr.errors import DAMAGED, DrError

BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
_HEADER = struct.Struct("<IHB")
HEADER_SIZE = _HEADER.size
_MASK_DELTA = 0xA282EAD8

Fragment = tuple[int, int, bytes]
"""Offset in the file, type, data."""


def damaged(name: str, offset: int, what: str) -> DrError:
    """DAMAGED, naming file and byte offset."""
    return DrError(DAMAGED, f"{name} at byte {offset}: {what}")


def masked_crc(data: bytes) -> int:
    """CRC32C of `data` in LevelDB's masked form."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read_records(name: str, chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """(offset, data) of each record of the file `name`. Memory: a block and the longest record. Raises DrError DAMAGED."""
    started, parts = 0, list[bytes]()
    for block_at, block in _blocks(chunks):
        for offset, kind, data in _fragments(name, block_at, block):
            if kind == FULL and not parts:
                yield offset, data
                continue
            if (kind in (FULL, FIRST)) == bool(parts):
                raise damaged(
                    name, offset, f"a fragment of type {kind} where {'the rest of' if parts else 'no'} record was open"
                )
            started = offset if kind == FIRST else started
            parts.append(data)
            if kind == LAST:
                yield started, b"".join(parts)
                parts.clear()
    if parts:
        raise damaged(name, started, "the file ends inside this record")


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Regroup chunks of any size into blocks; the last may be short."""
    offset, pending = 0, b""
    for chunk in chunks:
        pending += chunk
        whole = len(pending) - len(pending) % BLOCK
        for start in range(0, whole, BLOCK):
            yield offset + start, pending[start : start + BLOCK]
        offset, pending = offset + whole, pending[whole:]
    if pending:
        yield offset, pending


def _fragments(name: str, block_at: int, block: bytes) -> Iterator[Fragment]:
    position, size = 0, len(block)
    while position + HEADER_SIZE <= size:
        expected, length, kind = _HEADER.unpack_from(block, position)
        end = position + HEADER_SIZE + length
        if end > size:
            raise damaged(
                name, block_at + position, f"a fragment of {length} bytes runs past the end of its block or file"
            )
        if not FULL <= kind <= LAST:
            raise damaged(name, block_at + position, f"unknown fragment type {kind}")
        if masked_crc(block[position + 6 : end]) != expected:
            raise damaged(name, block_at + position, "the checksum does not match the data")
        yield block_at + position, kind, block[position + HEADER_SIZE : end]
        position = end
    _check_trailer(name, block_at + position, block[position:], size)


def _check_trailer(name: str, offset: int, trailer: bytes, block_size: int) -> None:
    if trailer and (block_size < BLOCK or any(trailer)):
        raise damaged(name, offset, f"{len(trailer)} stray bytes after the last fragment")
