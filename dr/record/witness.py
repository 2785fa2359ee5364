"""Reads a writer's record of acknowledged writes: JSON lines, one write a line, appended after the acknowledgement.

    {"acked_at": "2025-05-28T10:00:00.000123Z", "source": "appdata/firestore/db", "path": "tenants/t-001", "seq": 17, "sha256": "..."}

An empty `sha256` says that the path was deleted. A last line without a line end is a write whose record was cut off: it is
left out (its acknowledgement was not recorded), any other damage is an error, because a witness that is guessed at proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from dr.errors import CONFIGURATION, DAMAGED, DrError
from dr.model.evidence import AcknowledgedWrite
from dr.model.timeline import parse_instant

_SHA = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True, slots=True)
class WitnessRecord:
    """All acknowledged writes of one or more sources, in the order of the file."""

    writes: tuple[AcknowledgedWrite, ...]
    sha256: str

    def of(self, source: str) -> tuple[AcknowledgedWrite, ...]:
        """Only those of one source (`component/kind/name`)."""
        return tuple(write for write in self.writes if write.source == source)


def read_witness(path: Path) -> WitnessRecord:
    """Raises DrError CONFIGURATION when the file cannot be read, DAMAGED naming the line when it is not what it should be."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot read the witness file {path}: {error.strerror}") from None
    complete = raw[: raw.rfind(b"\n") + 1]
    lines = complete.split(b"\n")[:-1]
    writes = tuple(_write(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    return WitnessRecord(writes, hashlib.sha256(raw).hexdigest())


def _write(line: bytes, where: str) -> AcknowledgedWrite:
    try:
        entry = json.loads(line)
        write = AcknowledgedWrite(
            parse_instant(entry["acked_at"]), entry["source"], entry["path"], entry["seq"], entry["sha256"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DrError(DAMAGED, f"{where} is not a witness record: {error!r}") from None
    strings = isinstance(write.source, str) and isinstance(write.path, str) and isinstance(write.sha256, str)
    if not strings or not isinstance(write.seq, int) or not _SHA.fullmatch(write.sha256):
        raise DrError(DAMAGED, f"{where} is not a witness record: a field has the wrong type")
    return write
