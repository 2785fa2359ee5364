"""How one object lies in a file: a header line of JSON, then the bytes. One file, so that both appear at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dr.errors import DAMAGED, DrError
from dr.model.timeline import format_instant, parse_instant
from dr.ports import ObjectInfo
from dr.stores.digest import CHUNK

MAGIC = b"dr-object-1 "
_HEADER = 4096
"""Bytes reserved for the header, so that it can be written after a stream whose checksum is known only at its end."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an object besides its bytes."""

    size: int
    crc32c: str
    generation: int
    created: datetime
    metadata: Mapping[str, str]

    def encode(self) -> bytes:
        """Exactly `_HEADER` bytes, padded with blanks, ending in a line feed."""
        body = {
            "size": self.size,
            "crc32c": self.crc32c,
            "generation": self.generation,
            "created": format_instant(self.created),
            "metadata": dict(self.metadata),
        }
        line = MAGIC + json.dumps(body, sort_keys=True).encode()
        if len(line) >= _HEADER:
            raise DrError(DAMAGED, f"metadata of {len(line)} bytes does not fit into {_HEADER}")
        return line.ljust(_HEADER - 1) + b"\n"

    def info(self, name: str, retain_until: datetime | None, *, held: bool = False) -> ObjectInfo:
        return ObjectInfo(
            name, self.size, self.crc32c, self.generation, self.created, self.metadata, retain_until, held
        )


def write_object(path: Path, chunks: Iterator[bytes]) -> BinaryIO:
    """Write the bytes behind room for a header; the caller writes the header, then calls `settle`."""
    file = path.open("w+b")
    try:
        file.seek(_HEADER)
        for chunk in chunks:
            file.write(chunk)
        file.flush()
    except BaseException:
        with suppress(OSError):  # what is still in the buffer has no place either
            file.close()
        raise
    return file


def settle(file: BinaryIO, header: Header) -> None:
    """Header in, everything on the disk, closed."""
    with file:
        file.seek(0)
        file.write(header.encode())
        file.flush()
        os.fsync(file.fileno())


def read_header(path: Path) -> Header:
    """Raises FileNotFoundError, or DrError DAMAGED."""
    with path.open("rb") as file:
        return _parse(path, file.read(_HEADER))


def _parse(path: Path, line: bytes) -> Header:
    try:
        if not line.startswith(MAGIC) or len(line) != _HEADER:
            raise ValueError("no header")
        body = json.loads(line[len(MAGIC) :])
        created = parse_instant(body["created"])
        return Header(int(body["size"]), str(body["crc32c"]), int(body["generation"]), created, dict(body["metadata"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DrError(DAMAGED, f"{path} is damaged: its header cannot be read ({error})") from error


def read_object(path: Path) -> tuple[Header, Iterator[bytes]]:
    """Header and bytes of the same version, even if the file is replaced meanwhile."""
    file = path.open("rb")
    try:
        return _parse(path, file.read(_HEADER)), _pieces(file)
    except BaseException:
        file.close()
        raise


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
