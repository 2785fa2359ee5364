"""Damages one artefact of a recovery point in the storage server's own files, as a failing disk or an intruder would.

Nothing that goes through the server could: the artefact is locked.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from lab.state import LabError

DATABASE = "index.db"
SIZE, CRC32C, MD5 = 0, 1, 2  # positions in an object's document


@dataclass(frozen=True, slots=True)
class Row:
    """One live object as the server's index has it."""

    bucket: str
    name: str
    generation: int
    payload: str
    document: Sequence[object]


class Shelf:
    """The files of a storage server, behind its back. Close it quickly: it holds the index's lock while it writes."""

    def __init__(self, directory: Path) -> None:
        path = directory / DATABASE
        if not path.exists():
            raise LabError(f"there is no storage index in {directory}")
        self._directory, self._db = directory, sqlite3.connect(path, timeout=20, isolation_level=None)

    def close(self) -> None:
        self._db.close()

    def live(self, bucket: str, name: str) -> Row:
        """Raises LabError when it is not there."""
        columns = "bucket, name, generation, payload, document"
        where = "bucket = ? and name = ? and state = 'live'"
        found = self._db.execute(f"select {columns} from objects where {where}", (bucket, name)).fetchone()
        if found is None:
            raise LabError(f"gs://{bucket}/{name} does not exist")
        bucket, name, generation, payload, document = found
        return Row(bucket, name, int(generation), payload, json.loads(document))

    def read(self, row: Row) -> bytes:
        inline = self._db.execute("select data from payloads where id = ?", (row.payload,)).fetchone()
        return bytes(inline[0]) if inline else self._file(row).read_bytes()

    def write(self, row: Row, content: bytes, *, forge: bool) -> None:
        """Replaces the stored bytes. The size that the server reports follows; with `forge` its checksums do too."""
        changed = self._db.execute("update payloads set data = ? where id = ?", (content, row.payload)).rowcount
        if not changed:
            self._file(row).write_bytes(content)
        sums = checksums(content) if forge else row.document[CRC32C : MD5 + 1]
        self._point(row, row.payload, [len(content), *sums, *row.document[MD5 + 1 :]])

    def drop(self, row: Row) -> None:
        key = (row.bucket, row.name, row.generation)
        self._db.execute("delete from objects where bucket = ? and name = ? and generation = ?", key)

    def swap(self, one: Row, other: Row) -> None:
        """Each name serves the other's bytes, under checksums that fit them."""
        rest = MD5 + 1
        self._db.execute("begin immediate")
        self._point(one, other.payload, [*other.document[:rest], *one.document[rest:]])
        self._point(other, one.payload, [*one.document[:rest], *other.document[rest:]])
        self._db.execute("commit")

    def _point(self, row: Row, payload: str, document: Sequence[object]) -> None:
        key = (payload, json.dumps(document), row.bucket, row.name, row.generation)
        where = "bucket = ? and name = ? and generation = ?"
        self._db.execute(f"update objects set payload = ?, document = ? where {where}", key)

    def _file(self, row: Row) -> Path:
        return self._directory / "payloads" / row.payload[1:3] / row.payload


def checksums(content: bytes) -> tuple[str, str]:
    """crc32c and md5 as Cloud Storage writes them."""
    crc = google_crc32c.value(content).to_bytes(4, "big")
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return base64.b64encode(crc).decode(), base64.b64encode(digest).decode()


def artefact_names(manifest: object) -> list[str]:
    """Names of a point manifest's artefacts, wherever in the document they stand."""
    found = list(_artefacts(manifest))
    if not found:
        raise LabError("the point's manifest names no artefact")
    return found


def _artefacts(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for entry in node["artefacts"] if isinstance(node.get("artefacts"), list) else []:
            yield str(entry["name"])
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _artefacts(value)


def damage(shelf: Shelf, bucket: str, prefix: str, point: str, pattern: str, how: str, forge: bool) -> str:
    """Damages the first artefact of the point whose name matches; its name. Raises LabError."""
    manifest = json.loads(shelf.read(shelf.live(bucket, prefix + point)))
    names = artefact_names(manifest)
    chosen = next((name for name in names if fnmatch.fnmatch(name, pattern)), None)
    if chosen is None:
        raise LabError(f"no artefact of {point} matches {pattern!r}; there are {', '.join(names)}")
    row = shelf.live(bucket, prefix + chosen)
    if how == "drop":
        shelf.drop(row)
    elif how == "swap":
        shelf.swap(row, _partner(shelf, bucket, prefix, names, row))
    else:
        shelf.write(row, altered(shelf.read(row), how), forge=forge)
    return chosen


def _partner(shelf: Shelf, bucket: str, prefix: str, names: Sequence[str], row: Row) -> Row:
    content = row.document[CRC32C]
    for name in names:
        other = shelf.live(bucket, prefix + name)
        if other.document[CRC32C] != content:
            return other
    raise LabError("the point has no second artefact with other content to swap with")


def altered(content: bytes, how: str) -> bytes:
    """One bit flipped in the middle, or the second half gone."""
    middle = len(content) // 2
    if how == "truncate" or not content:
        return content[:middle]
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
