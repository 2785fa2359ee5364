"""A small writer of export files, for tests only: it shares no code with the reader but the message description."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import google_crc32c

from dr.components.appdata.schema import Entity, Listing, Overall

BLOCK = 32768


def frame(payloads: Iterable[bytes]) -> bytes:
    """LevelDB log of these records."""
    out = bytearray()
    for payload in payloads:
        first = True
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += b"\0" * left
                left = BLOCK
            part, payload = payload[: left - 7], payload[left - 7 :]
            kind = (1 if first else 4) if not payload else (2 if first else 3)
            crc = google_crc32c.value(bytes([kind]) + part)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            out += struct.pack("<IHB", masked, len(part), kind) + part
            first = False
            if not payload:
                break
    return bytes(out)


def entity(path: str, *, project: str = "energent-lab", database: str = "db", **integers: int) -> bytes:
    """An entity with integer fields."""
    message = Entity()
    message.key.app = f"s~{project}"
    if database != "(default)":
        message.key.database = database
    parts = path.split("/")
    for collection, name in zip(parts[::2], parts[1::2], strict=True):
        element = message.key.path.element.add()
        element.type, element.name = collection, name
    for name, value in integers.items():
        prop = message.raw_property.add()
        prop.name, prop.multiple = name, False
        prop.value.int = value
    return bytes(message.SerializeToString())


def export(documents: Iterable[bytes], folder: str = "x/export", outputs: int = 2) -> dict[str, bytes]:
    """All files of one export, by name."""
    rows = list(documents)
    home = "all_namespaces/all_kinds"
    files = {f"{folder}/{home}/output-{n}": frame(rows[n::outputs]) for n in range(outputs)}
    overall, listing = Overall(), Listing()
    listing.output.add().file.extend(f"output-{n}" for n in range(outputs))
    size = sum(map(len, files.values()))
    overall.pointer.add(file=f"{home}/all_namespaces_all_kinds.export_metadata", entities=len(rows), bytes=size)
    files[f"{folder}/{home}/all_namespaces_all_kinds.export_metadata"] = listing.SerializeToString()
    files[f"{folder}/{folder.rpartition('/')[2]}.overall_export_metadata"] = frame([b"3", overall.SerializeToString()])
    return files
