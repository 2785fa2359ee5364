"""The entries that were written, each once, in the order of their time. Several processes may share the file."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PRIVATE = ("data_access", "access_transparency")
"""Logs that `logging.logEntries.list` alone does not show."""
LARGEST = 256 * 1024
"""Bytes of one entry."""
WAIT_S = 20.0
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
_TABLE = """CREATE TABLE IF NOT EXISTS entries (
    at INTEGER, log TEXT, id TEXT, private INTEGER, body TEXT, PRIMARY KEY (at, log, id)) WITHOUT ROWID"""
Key = tuple[int, str, str]
"""(nanoseconds, log, insertId): what identifies an entry, and its place in the order."""
FIRST: Key = (-(2**63), "", "")
LAST: Key = (2**63 - 1, "\U0010ffff", "\U0010ffff")


def nanoseconds(text: str) -> int:
    """Since 1970. Raises ValueError when it is no RFC 3339 instant."""
    found = _INSTANT.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no timestamp")
    whole, fraction, zone = found.groups()
    moment = datetime.fromisoformat(f"{whole}{zone}".upper().replace("Z", "+00:00")).astimezone(UTC)
    return int(moment.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


@dataclass(frozen=True, slots=True)
class Written:
    """One entry as it is kept."""

    key: Key
    private: bool
    body: str

    @property
    def entry(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.body)
        return found


def read(data: bytes) -> Written | None:
    """None: that is no entry, and was never written."""
    if len(data) > LARGEST:
        return None
    try:
        text = data.decode()
        entry = json.loads(text)
        log, named = str(entry["logName"]), str(entry["insertId"])
        private = log.rpartition("%2F")[2] in PRIVATE
        return Written((nanoseconds(str(entry["timestamp"])), log, named), private, text)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class LogBook:
    """Thread-safe. What `write` has taken is there for every other process at once, and survives the death of this one."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.execute(_TABLE)

    def write(self, datas: Sequence[bytes]) -> int:
        """How many are new: like Cloud Logging, it knows an entry by time, log and insertId, and keeps the first of each."""
        rows = [(*one.key, one.private, one.body) for one in map(read, datas) if one is not None]
        with self._lock, self._base:
            self._base.execute("BEGIN IMMEDIATE")
            before = self._base.total_changes
            self._base.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            return self._base.total_changes - before

    def walk(self, low: Key, high: Key, descending: bool, most: int) -> Iterator[Written]:
        """Entries between both keys, themselves left out; at most so many."""
        order = "at DESC, log DESC, id DESC" if descending else "at, log, id"
        between = "(at, log, id) > (?, ?, ?) AND (at, log, id) < (?, ?, ?)"
        query = f"SELECT at, log, id, private, body FROM entries WHERE {between} ORDER BY {order} LIMIT ?"
        with self._lock:
            found = self._base.execute(query, (*low, *high, most)).fetchall()
        for at, log, named, private, body in found:
            yield Written((at, log, named), bool(private), body)

    def close(self) -> None:
        self._base.close()
