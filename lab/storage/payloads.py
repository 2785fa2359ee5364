"""Payload bytes on disk: written beside, fsynced, renamed; hashed on the way; never more than a chunk in memory.

Payloads of up to INLINE bytes travel in memory and are stored in the index, where one fsync serves many of them.
"""

import asyncio
import base64
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from lab.storage.model import Content

INLINE = 64 * 1024
CHUNK = 256 * 1024


class Digest:
    """Length, crc32c and md5 of a stream."""

    def __init__(self) -> None:
        self.size, self._crc, self._md5 = 0, google_crc32c.Checksum(), hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._crc.update(data)
        self._md5.update(data)

    def content(self, payload: str, inline: bytes | None = None) -> Content:
        """The stored form of what was seen."""
        crc32c, md5 = (base64.b64encode(raw).decode() for raw in (self._crc.digest(), self._md5.digest()))
        return Content(payload, self.size, crc32c, md5, inline)


class Payloads:
    """Files under `<directory>/payloads`, unfinished ones under `incoming`, sessions' under `uploads`."""

    def __init__(self, directory: Path) -> None:
        self._home, self._incoming, self._uploads = (directory / part for part in ("payloads", "incoming", "uploads"))
        for path in (self._home, self._incoming, self._uploads):
            path.mkdir(parents=True, exist_ok=True)

    def recover(self, referenced: set[str], sessions: dict[str, int]) -> int:
        """Remove what no commit refers to, cut session files to their durable length; how many files were removed."""
        orphans = list(self._incoming.iterdir())
        orphans += [path for path in self._home.glob("*/*") if path.name not in referenced]
        orphans += [path for path in self._uploads.iterdir() if path.name not in sessions]
        for path in orphans:
            path.unlink()
        for identifier, received in sessions.items():
            path = self.session_file(identifier)
            if path.exists():
                os.truncate(path, received)
        return len(orphans)

    def session_file(self, identifier: str) -> Path:
        """Where a resumable session collects its bytes."""
        return self._uploads / identifier

    def spool(self) -> "Spool":
        """Begin a payload of unknown length."""
        return Spool(self)

    def incoming(self) -> Path:
        """A fresh name for an unfinished file."""
        return self._incoming / secrets.token_hex(16)

    def adopt(self, path: Path) -> str:
        """Make a finished file durable and give it its name; blocks for the fsyncs. The payload's name."""
        payload = "f" + secrets.token_hex(16)
        target = self._path(payload)
        _fsync(path)
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            _fsync(self._home)
        os.rename(path, target)
        _fsync(target.parent)
        return payload

    def open(self, payload: str) -> BinaryIO:
        """Open a payload file; it stays readable when it is removed meanwhile."""
        return self._path(payload).open("rb")

    def remove(self, payload: str) -> None:
        """Remove a payload's file, if it has one."""
        if payload.startswith("f"):
            self._path(payload).unlink(missing_ok=True)

    def _path(self, payload: str) -> Path:
        return self._home / payload[1:3] / payload


class Spool:
    """Takes chunks; in memory up to INLINE bytes, then in a file."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads, self._digest, self._buffer = payloads, Digest(), bytearray()
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Append."""
        self._digest.update(data)
        if self._file is None and len(self._buffer) + len(data) > INLINE:
            self._path = self._payloads.incoming()
            self._file = self._path.open("wb", buffering=0)
            self._file.write(self._buffer)
        if self._file is None:
            self._buffer += data
        else:
            self._file.write(data)

    async def finish(self) -> Content:
        """Durable content, or inline content that becomes durable with its index entry."""
        if self._file is None or self._path is None:
            return self._digest.content(inline_name(), bytes(self._buffer))
        self._file.close()
        return self._digest.content(await asyncio.to_thread(self._payloads.adopt, self._path))

    def discard(self) -> None:
        """Forget an upload that did not finish."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


def inline_name() -> str:
    """A fresh name for a payload that lives in the index."""
    return "i" + secrets.token_hex(16)


def concatenate(payloads: Payloads, sources: Iterable[bytes | BinaryIO]) -> Content:
    """One new payload file of several sources; blocks (run it in a thread). Closes the sources."""
    path, digest = payloads.incoming(), Digest()
    with path.open("wb") as out:
        for source in sources:
            for chunk in _chunks(source):
                digest.update(chunk)
                out.write(chunk)
    return digest.content(payloads.adopt(path))


def digest_file(path: Path) -> Digest:
    """Hash a file; blocks."""
    digest = Digest()
    with path.open("rb") as file:
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest


async def read(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    """`length` bytes from `start`, then close."""
    with file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk


def _chunks(source: bytes | BinaryIO) -> Iterable[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source:
        while chunk := source.read(CHUNK):
            yield chunk


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
