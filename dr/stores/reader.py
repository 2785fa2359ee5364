"""Chunks as a file, for clients that insist on one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain


class ChunkReader(io.RawIOBase):
    """Can only be read on; `tell` is all else that an upload asks of it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._position = 0

    def push_back(self, data: bytes) -> None:
        """Take back what was read last."""
        self._chunks = chain([data], [self._rest] if self._rest else [], self._chunks)
        self._rest = b""
        self._position -= len(data)

    def read(self, size: int = -1) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        data, self._rest = (data, b"") if size < 0 else (data[:size], data[size:])
        self._position += len(data)
        return data

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position
