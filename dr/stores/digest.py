"""Checksums of bytes while they pass."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator

import google_crc32c

from dr.errors import DAMAGED, REJECTED, DrError

CHUNK = 1 << 20
"""Bytes of one piece of a stream."""


def crc32c(data: bytes) -> str:
    """Base64 of the big-endian checksum, as Cloud Storage writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


class Digest:
    """Running crc32c, SHA-256 and length."""

    def __init__(self, *, sha: bool = True) -> None:
        self._crc = 0
        self._sha = hashlib.sha256() if sha else None
        self.size = 0

    def update(self, chunk: bytes) -> None:
        self._crc = google_crc32c.extend(self._crc, chunk)
        self.size += len(chunk)
        if self._sha is not None:
            self._sha.update(chunk)

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks, counted as they go by."""
        for chunk in chunks:
            self.update(chunk)
            yield chunk

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode()

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest() if self._sha is not None else ""


def require_whole(where: str, digest: Digest, size: int | None, crc: str) -> None:
    """Raises DAMAGED when what was read is not what was stored."""
    if size is not None and digest.size != size:
        raise DrError(DAMAGED, f"{where} is damaged: {digest.size} of {size} bytes could be read")
    if digest.crc32c != crc:
        raise DrError(DAMAGED, f"{where} is damaged: its checksum is {digest.crc32c}, stored was {crc}")


def require_name(name: str) -> str:
    """Object names are relative and plain, in every store, so that no store has names that another refuses."""
    parts = name.split("/")
    control = any(ord(letter) < 32 for letter in name)
    if (
        control
        or len(name.encode()) > 1024
        or any(part in {"", ".", ".."} or part.startswith(".dr-") for part in parts)
    ):
        raise DrError(REJECTED, f"{name!r} cannot be the name of an object")
    return name
