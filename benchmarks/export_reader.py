"""The export reader against one crc32c + sha256 pass over the same bytes, in one run. Prints JSON.

`python -m benchmarks.export_reader [FOLDER]`: files of a genuine export; without it, synthetic ones with the documents of a
typical application (nested maps, arrays, timestamps).
"""

from __future__ import annotations

import hashlib
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import google_crc32c

from benchmarks.measure import paired, report, spread
from dr.components.appdata.canonical import canonical_sha256
from dr.components.appdata.entity import decode_document
from dr.components.appdata.exportfile import read_output
from dr.components.appdata.schema import Entity

CHUNK = 1 << 20
DOCUMENTS = 20_000
ROUNDS = 5
Files = dict[str, bytes]


def main(folder: Path | None = None) -> None:
    files = genuine(folder) if folder else {"output-0": synthetic(DOCUMENTS)}
    size, documents = sum(map(len, files.values())), read(files)
    # rounds interleave the passes: what else the machine does meets all of them
    passes: dict[str, Callable[[Files], object]] = {"crc32c_sha256": checksums, "read": read, "read_and_hash": hashed}
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(ROUNDS):
        for name, call in passes.items():
            began = time.perf_counter()
            call(files)
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    report(
        "export_reader",
        {
            "input": "genuine" if folder else "synthetic",
            "bytes": size,
            "documents": documents,
            **{f"{name}_s": spread(values) for name, values in seconds.items()},
            **{f"{name}_mb_s": round(size / value / 1e6, 1) for name, value in median.items()},
            **{f"{name}_documents_s": round(documents / median[name]) for name in ("read", "read_and_hash")},
            "ratio_read": paired(seconds["read"], seconds["crc32c_sha256"]),
            "ratio_read_and_hash": paired(seconds["read_and_hash"], seconds["crc32c_sha256"]),
        },
    )


def chunks(data: bytes) -> Iterable[bytes]:
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def checksums(files: Files) -> None:
    for data in files.values():
        crc, sha = google_crc32c.Checksum(), hashlib.sha256()
        for chunk in chunks(data):
            crc.update(chunk)
            sha.update(chunk)


def read(files: Files) -> int:
    return sum(1 for name, data in files.items() for _ in read_output(name, chunks(data)))


def hashed(files: Files) -> None:
    for name, data in files.items():
        for document in read_output(name, chunks(data)):
            canonical_sha256(document.fields)


def genuine(folder: Path) -> Files:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("output-*"))}


def synthetic(documents: int) -> bytes:
    """One output file. Frames are written as LevelDB does."""
    out = bytearray()
    for number in range(documents):
        left, first, payload = 0, True, entity(number)
        while first or payload:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += bytes(left)
                left = 32768
            part, payload = payload[: left - 7], payload[left - 7 :]
            kind = (1 if first else 4) if not payload else (2 if first else 3)
            crc = google_crc32c.value(bytes([kind]) + part)
            out += struct.pack("<IHB", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF, len(part), kind) + part
            first = False
    return bytes(out)


def entity(number: int) -> bytes:
    """A job of a tenant: 6 fields, one of them a map, one an array."""
    usage = Entity()
    usage.key.app = ""
    for name in ("cpu", "memory"):
        usage.raw_property.add(name=name, multiple=False).value.double = number * 0.5
    message = Entity()
    message.key.app, message.key.database = "s~energent-lab", "energent-metadata-production"
    message.key.path.element.add(type="tenants", name=f"t-{number % 100:03d}")
    message.key.path.element.add(type="jobs", name=f"{number:06d}")
    message.raw_property.add(name="seq", multiple=False).value.int = number
    message.raw_property.add(name="name", multiple=False).value.string = b"job %d" % number
    message.raw_property.add(meaning=7, name="at", multiple=False).value.int = 1748426400000000 + number
    message.raw_property.add(name="note", multiple=False).value.string = b"n" * 120
    message.raw_property.add(meaning=19, name="usage", multiple=False).value.string = usage.SerializeToString()
    for tag in (b"a", b"b", b"%d" % number):
        message.raw_property.add(name="tags", multiple=True).value.string = tag
    payload = bytes(message.SerializeToString())
    decode_document(payload)
    return payload


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
