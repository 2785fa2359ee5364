"""Compression and lines: zstd frames with a checksum, read and written in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard

from dr.changelog.entries import damaged

_LEVEL = 3
_PIECE = 64 << 10
"""Compressed bytes decoded at a time, so that a piece of text stays small."""


def compress(text: bytes) -> bytes:
    """One frame."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(text)


def compressing(texts: Iterable[bytes]) -> Iterator[bytes]:
    """One frame of a long text, in chunks."""
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
    for text in texts:
        if chunk := frame.compress(text):
            yield chunk
    yield frame.flush()


def decompressing(chunks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """The text of exactly one frame. Raises DrError DAMAGED when it is cut, spoilt, or followed by anything."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for chunk in chunks:
            for start in range(0, len(chunk), _PIECE):
                if frame.eof:
                    raise damaged(where, "something follows its end")
                yield frame.decompress(chunk[start : start + _PIECE])
    except zstandard.ZstdError as error:
        raise damaged(where, f"it cannot be decompressed ({error})") from error
    if not frame.eof:
        raise damaged(where, "it is cut short")
    if frame.unused_data:
        raise damaged(where, "something follows its end")


def lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Split into lines, each with its line feed; a rest without one comes last."""
    parts: list[bytes] = []
    for text in texts:
        head, feed, rest = text.partition(b"\n")
        if not feed:
            parts.append(head)
            continue
        yield b"".join((*parts, head, feed))
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield line + b"\n"
        parts = [last]
    if end := b"".join(parts):
        yield end
