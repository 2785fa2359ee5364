"""Reader of Firestore's managed exports: every document, or DAMAGED with the file and the offset.

The files' checksums do not show a file cut between two records or a file that is missing, so the export's own metadata is
read too: it names the files and counts the entities. Format: docs/firestore-exports.md.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from dr.components.appdata.entity import Document, decode_document
from dr.components.appdata.leveldb import damaged, read_records
from dr.components.appdata.schema import Listing, Overall
from dr.errors import DAMAGED, DrError

__all__ = ["Document", "ExportLayout", "Pointer", "read_export", "read_listing", "read_output", "read_overall"]

OVERALL, LISTING = ".overall_export_metadata", ".export_metadata"
_OUTPUT = re.compile(r"output-\d+")
_VERSION = b"3"
_MAX_LISTING = 64 * 1024 * 1024

OpenObject = Callable[[str], Iterable[bytes]]
"""Content of an object, by name, in chunks."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the overall metadata says of one listing."""

    file: str
    """Name of the listing, full (as the objects are named)."""
    entities: int
    size: int
    """Bytes of its outputs, as the exporter counted them."""


@dataclass(frozen=True, slots=True)
class ExportLayout:
    """The objects of one export, by what they are."""

    overall: str
    listings: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> ExportLayout:
        """Raises DrError DAMAGED when a name belongs to no export, or there is not exactly one overall metadata file in the
        folder that bears its name."""
        ordered = sorted(names)
        overall = [name for name in ordered if name.endswith(OVERALL)]
        listings = [name for name in ordered if name.endswith(LISTING)]
        outputs = [name for name in ordered if _OUTPUT.fullmatch(posixpath.basename(name))]
        stray = set(ordered) - set(overall) - set(listings) - set(outputs)
        if stray or len(overall) != 1:
            what = f"{min(stray)} is no part of one" if stray else f"{len(overall)} overall metadata files"
            raise DrError(DAMAGED, f"not the files of an export: {what}")
        folder, file = posixpath.split(overall[0])
        if posixpath.basename(folder) not in ("", file.removesuffix(OVERALL)):
            raise DrError(DAMAGED, f"{overall[0]} does not bear the name of its folder: it could not be imported")
        return cls(overall[0], tuple(listings), tuple(sorted(outputs, key=_by_number)))


def _by_number(name: str) -> tuple[str, int]:
    folder, file = posixpath.split(name)
    return folder, int(file.removeprefix("output-"))


def read_export(open_object: OpenObject, names: Sequence[str]) -> Iterator[Document]:
    """Every document of the export whose objects are `names`, file by file, in bounded memory.

    Raises DrError DAMAGED on anything that does not fit: checksums, records, entities, files that are missing or not
    listed, and, at the end of the files of a listing, a count that differs from the export's own.
    """
    layout = ExportLayout.of(names)
    pointers = read_overall(layout.overall, open_object(layout.overall))
    outputs = {pointer.file: read_listing(pointer.file, open_object(pointer.file)) for pointer in pointers}
    check_files(layout, outputs)
    for pointer in pointers:
        count = 0
        for name in outputs[pointer.file]:
            for document in read_output(name, open_object(name)):
                count += 1
                yield document
        check_count(pointer, count)


def read_output(name: str, chunks: Iterable[bytes]) -> Iterator[Document]:
    """Documents of one output file. Raises DrError DAMAGED naming file and offset."""
    for offset, payload in read_records(name, chunks):
        try:
            yield decode_document(payload)
        except ValueError as error:
            raise damaged(name, offset, str(error)) from None


def read_overall(name: str, chunks: Iterable[bytes]) -> tuple[Pointer, ...]:
    """The listings that an export consists of. Raises DrError DAMAGED."""
    records = read_records(name, chunks)
    offset, version = next(records, (0, b""))
    if version != _VERSION:
        raise damaged(name, offset, f"version {version[:20]!r} of the overall metadata is not known")
    folder = posixpath.dirname(name)
    pointers: list[Pointer] = []
    for offset, payload in records:
        overall = _parsed(Overall(), name, offset, payload)
        pointers += (Pointer(posixpath.join(folder, one.file), one.entities, one.bytes) for one in overall.pointer)
    # none at all is the export of an empty database: its count must be 0, and no other file may stand beside it
    if len({pointer.file for pointer in pointers}) < len(pointers):
        raise damaged(name, 0, "it names a listing twice")
    return tuple(pointers)


def read_listing(name: str, chunks: Iterable[bytes]) -> tuple[str, ...]:
    """Full names of the output files of one listing. Raises DrError DAMAGED. Has no checksum of its own: compare the object's."""
    content = b"".join(_bounded(name, chunks))
    folder = posixpath.dirname(name)
    listing = _parsed(Listing(), name, 0, content)
    return tuple(posixpath.join(folder, file) for output in listing.output for file in output.file)


def _bounded(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _MAX_LISTING:
            raise damaged(name, size, "far too long for a listing")
        yield chunk


def _parsed(message: Any, name: str, offset: int, payload: bytes) -> Any:
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise damaged(name, offset, f"undecodable metadata ({error})") from None
    return message


def check_files(layout: ExportLayout, outputs: dict[str, tuple[str, ...]]) -> None:
    """DAMAGED unless the objects are exactly the listed ones."""
    listed = [name for names in outputs.values() for name in names]
    for what, said, present in (("listing", list(outputs), layout.listings), ("output", listed, layout.outputs)):
        if sorted(said) != sorted(present):
            differing = sorted(set(said) ^ set(present)) or sorted(said)
            state = "missing or listed twice" if differing[0] in said else "not listed by the export"
            raise DrError(DAMAGED, f"{differing[0]}: this {what} is {state}")


def check_count(pointer: Pointer, count: int) -> None:
    """DAMAGED unless the outputs of a listing held as many documents as the export counted."""
    if count != pointer.entities:
        raise DrError(
            DAMAGED, f"the outputs of {pointer.file} hold {count} documents, the export counted {pointer.entities}"
        )
