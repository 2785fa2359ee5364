"""The record of acknowledged writes: appended and synced after each acknowledgement, never before."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

CLUSTER_SOURCE = "cluster/velero/energent-production"
CONFIG_SOURCE = "config/kubernetes/energent-production"
AUDIT_SOURCE = "audit/pubsub/energent-security-sink"


def appdata_source(database: str) -> str:
    return f"appdata/firestore/{database}"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One write that the server has taken; an empty `sha256` means deleted."""

    source: str
    path: str
    sha256: str


class Witness:
    """An append-only file of JSON lines, shared by threads. What is in it when `record` returns survives a crash."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock, self._next = path, threading.Lock(), _next_seq(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def record(self, acknowledged: Iterable[Acknowledged]) -> None:
        """Appends one line for each, all with the present instant: call it right after the acknowledgement."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._lock:
            lines = []
            for write in acknowledged:
                entry: dict[str, str | int] = {"acked_at": now, "source": write.source, "path": write.path}
                entry |= {"seq": self._next, "sha256": write.sha256}
                lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
                self._next += 1
            _write_all(self._file, "".join(lines).encode())
            os.fdatasync(self._file)

    def living(self, source: str) -> set[str]:
        """Paths of a source whose newest recorded write is no deletion."""
        newest: dict[str, str] = {}
        with self._path.open(encoding="utf-8") as lines:
            for entry in map(json.loads, lines):
                if entry["source"] == source:
                    newest[entry["path"]] = entry["sha256"]
        return {path for path, sha256 in newest.items() if sha256}

    def __enter__(self) -> Witness:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _next_seq(path: Path) -> int:
    """One past the last complete line; a line that a crash cut off is removed, as nobody may count on it."""
    if not path.exists():
        return 1
    raw = path.read_bytes()
    end = raw.rfind(b"\n") + 1
    if end < len(raw):
        os.truncate(path, end)
    lines = raw[:end].splitlines()
    return int(json.loads(lines[-1])["seq"]) + 1 if lines else 1
