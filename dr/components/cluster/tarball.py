"""A strict streaming reader of gzip and tar: whatever is cut, flipped or trailing is an error, never a shorter archive."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dr.errors import DAMAGED, DrError

_BLOCK = 512
_STEP = 1 << 20
_LARGEST = 64 << 20
"""Bytes of one member; the API server refuses objects beyond a few MiB, so more is damage and not data."""


class Member(NamedTuple):
    """One regular file of an archive; `modified` in whole seconds since the epoch. Made ten thousand times a backup, so
    not a dataclass."""

    path: str
    modified: int
    data: bytes


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Inflate one gzip stream in bounded memory. Raises DrError DAMAGED when it is cut, altered or followed by anything."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            if inflate.eof and chunk:
                raise DrError(DAMAGED, "bytes follow the end of the gzip stream")
            while chunk and not inflate.eof:  # at its end zlib leaves the tail as it was
                yield inflate.decompress(chunk, _STEP)
                chunk = inflate.unconsumed_tail
        if inflate.unused_data:
            raise DrError(DAMAGED, "bytes follow the end of the gzip stream")
        yield inflate.flush()
    except zlib.error as error:
        raise DrError(DAMAGED, f"gzip: {error}") from error
    if not inflate.eof:
        raise DrError(DAMAGED, "the gzip stream is cut short")


def untar(chunks: Iterable[bytes]) -> Iterator[Member]:
    """Regular files of a tar stream (ustar, PAX and GNU long names). Raises DrError DAMAGED."""
    blocks = _Blocks(chunks)
    named = ""
    while (header := blocks.take(_BLOCK)).count(0) != _BLOCK:
        kind, size = _checked(header)
        data = blocks.take(size + -size % _BLOCK)[:size]
        if kind == b"x":
            named = _pax_path(data) or named
        elif kind == b"L":
            named = data.rstrip(b"\0").decode()
        elif kind in (b"0", b"\0"):
            yield Member(named or _path(header), _octal(header[136:148]), data)
            named = ""
        elif kind not in (b"5", b"g"):
            raise DrError(DAMAGED, f"tar: a member of type {kind!r}, which Velero never writes")
    if blocks.take(_BLOCK).count(0) != _BLOCK:
        raise DrError(DAMAGED, "tar: one end block only")
    blocks.finish()


class _Blocks:
    """Exact reads from a stream of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._held):
            self._fill(size)
            end = size
        taken = self._held[self._at : end]
        self._at = end
        return taken

    def _fill(self, size: int) -> None:
        parts = [self._held[self._at :]]
        have = len(parts[0])
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise DrError(DAMAGED, "tar: the archive is cut short")
            parts.append(chunk)
            have += len(chunk)
        self._held, self._at = b"".join(parts), 0

    def finish(self) -> None:
        """Read on to the end, so that the layers below check their sums; only padding may follow."""
        rest = [self._held[self._at :], *self._chunks]
        if any(part.count(0) != len(part) for part in rest):
            raise DrError(DAMAGED, "tar: bytes follow the end of the archive")


def _checked(header: bytes) -> tuple[bytes, int]:
    """Type and size of a header whose checksum is right."""
    field = header[148:156]
    if sum(header) - sum(field) + 8 * 32 != _octal(field):
        raise DrError(DAMAGED, "tar: a header does not match its checksum")
    size = _octal(header[124:136])
    if size > _LARGEST:
        raise DrError(DAMAGED, f"tar: a member of {size} bytes")
    return header[156:157], size


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise DrError(DAMAGED, f"tar: {field!r} is not a number") from None


def _path(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
    if not header[345]:
        return name
    return header[345:500].split(b"\0", 1)[0].decode("utf-8", "replace") + "/" + name


def _pax_path(data: bytes) -> str:
    """The `path` record of a PAX header, if it has one."""
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(data):
            raise DrError(DAMAGED, "tar: an extended header cannot be read")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            return value.decode()
        data = data[int(length) :]
    return ""
