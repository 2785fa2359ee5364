"""Appends to a change log: group commit into numbered segments, one at a time. The number is the fence."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from types import TracebackType

from dr.changelog.entries import Entry, Head, SegmentHead, build_text, encode_entry
from dr.changelog.frames import compress
from dr.changelog.locking import Locker
from dr.changelog.reader import LogReader, head_of, is_pack
from dr.changelog.units import Unit, segment_name, unit_from
from dr.errors import BACKUP_FAILED, CONFLICT, FENCED, LOCKED, DrError
from dr.model.ids import SourceId
from dr.ports import Clock, ObjectInfo, ObjectStore

SEGMENT_BYTES = 8 << 20
"""Text after which a segment is closed; one entry may be larger."""
PATIENCE = timedelta(seconds=60)
"""How long a segment that the store refuses for a time is put again, before the writer gives up."""
_PAUSE_S = (0.1, 0.5, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of an append that goes into one segment whole; the last part carries future and watermark."""

    lines: list[bytes]
    size: int
    first: datetime | None
    last: datetime | None
    watermark: datetime | None
    future: Future[Head] | None
    arrived: float


class LogWriter:
    """The one writer of a log. Thread-safe; a context manager, which ends with everything appended durable.

    After an error it is broken: every later append fails with it. Whoever goes on opens a new one, which asks the vault
    where the log ends (I4). Opening also locks what a writer that died had not locked yet.
    """

    def __init__(
        self,
        vault: ObjectStore,
        source: SourceId,
        clock: Clock,
        *,
        window_s: float = 0.05,
        lock_for: timedelta = timedelta(days=14),
        patience: timedelta = PATIENCE,
    ) -> None:
        self._vault, self._source, self._clock = vault, source, clock
        self._window_s, self._patience = window_s, patience
        self.newest: datetime | None = None
        """Latest `at` of any entry when the log was opened."""
        self._locker = Locker(vault, clock, lock_for)
        self._head = head_of(self._opened(LogReader(vault, source)))
        self._pending: deque[_Piece] = deque()
        self._pending_bytes = 0
        self._busy = False
        self._closing = False
        self._broken: DrError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"changelog-{source.slug}", daemon=True)
        self._thread.start()

    def _opened(self, reader: LogReader) -> Unit | None:
        """The last unit; on the way, what a writer that died left unlocked is locked, and the newest entry's time found."""
        last: Unit | None = None
        for last in reader.units():
            self.newest = max(filter(None, (self.newest, last.last)), default=None)
            if not is_pack(last):
                self._locker.lock_all([last.stored])
        return last

    # --- for callers

    @property
    def head(self) -> Head:
        """Of what is durable."""
        return self._head

    @property
    def unlocked(self) -> int:
        """Segments whose lock the store refused so far; they are tried again with the next ones."""
        return self._locker.failed

    def append(self, entries: Sequence[Entry], watermark: datetime) -> Future[Head]:
        """Resolves when they are durable, in the order of the calls. The watermark says: nothing up to it is missing once these
        are in; one that goes back counts as the one before. Raises ValueError for data that is not JSON; all else is in the
        future: DrError FENCED when another writer continued the log, UNREACHABLE..."""
        future: Future[Head] = Future()
        pieces = _pieces(entries, watermark, future, time.monotonic())
        with self._changed:
            if self._broken or self._closing:
                future.set_exception(self._broken or DrError(LOCKED, f"the writer of {self._source} is closed"))
                return future
            self._pending.extend(pieces)
            self._pending_bytes += sum(piece.size for piece in pieces)
            self._changed.notify_all()
        return future

    def barrier(self) -> Future[Head]:
        """Resolves when all that was appended before is durable; writes nothing itself."""
        future: Future[Head] = Future()
        with self._changed:
            if self._broken or not (self._pending or self._busy):
                future.set_exception(self._broken) if self._broken else future.set_result(self._head)
                return future
            self._pending.append(_Piece([], 0, None, None, None, future, time.monotonic()))
            self._changed.notify_all()
        return future

    def lock(self, info: ObjectInfo) -> None:
        """Lock an object that the log refers to, as segments are."""
        self._locker.lock(info)

    @property
    def broken(self) -> DrError | None:
        """What broke the writer."""
        return self._broken

    def flush(self) -> Head:
        """Wait until all that was appended is durable. Raises the DrError that broke the writer."""
        with self._changed:
            self._changed.wait_for(lambda: self._broken or not (self._pending or self._busy))
            if self._broken:
                raise self._broken
            return self._head

    def close(self) -> None:
        """Everything appended is durable and locked, or its future says why not."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._locker.close()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._broken:
            raise self._broken

    # --- the writing thread

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                self._head = self._store(batch)
            except Exception as error:  # noqa: BLE001 - every waiting future must hear of it, whatever it is
                self._break(error, batch)
                return
            for piece in batch:
                if piece.future:
                    piece.future.set_result(self._head)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next_batch(self) -> list[_Piece]:
        """What goes into the next segment; empty when the writer is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            if self._pending:
                due = self._pending[0].arrived + self._window_s
                self._changed.wait_for(self._full, timeout=max(0.0, due - time.monotonic()))
            batch: list[_Piece] = []
            size = 0
            while self._pending and (not batch or size + self._pending[0].size <= SEGMENT_BYTES):
                piece = self._pending.popleft()
                batch.append(piece)
                size += piece.size
            self._pending_bytes -= size
            self._busy = bool(batch)
            return batch

    def _full(self) -> bool:
        return self._closing or self._pending_bytes >= SEGMENT_BYTES

    def _store(self, batch: Sequence[_Piece]) -> Head:
        if not any(piece.lines or piece.watermark for piece in batch):  # barriers only
            return self._head
        lines = [line for piece in batch for line in piece.lines]
        head = SegmentHead(
            source=str(self._source),
            seq=self._head.seq + 1,
            prev=self._head.sha256,
            watermark=_latest(self._head.watermark, *(piece.watermark for piece in batch)),
            entries=len(lines),
            first=min((piece.first for piece in batch if piece.first), default=None),
            last=_latest(*(piece.last for piece in batch)),
        )
        text = build_text(head, lines)
        digest = sha256(text).hexdigest()
        self._locker.lock(self._put(head, digest, compress(text)))
        return Head(head.seq, digest, head.watermark)

    def _put(self, head: SegmentHead, digest: str, data: bytes) -> ObjectInfo:
        name = segment_name(self._source, head.seq)
        nowhere = ObjectInfo(name, len(data), "", 0, self._clock.now())
        known = SegmentHead(
            head.source, head.seq, head.prev, head.watermark, head.entries, head.first, head.last, digest
        )
        metadata = unit_from(nowhere, known, sha256(data).hexdigest()).metadata()
        began, tries = self._clock.stamp(), 0
        while True:
            try:
                return self._vault.put(name, data, metadata=metadata)
            except DrError as error:
                if error.kind is CONFLICT:
                    raise DrError(FENCED, f"another writer continued the log of {self._source} at {name}") from error
                # the same bytes again: had they arrived, the store finds them equal
                if not error.temporary or self._clock.stamp().seconds_since(began) > self._patience.total_seconds():
                    raise
            self._clock.sleep(_PAUSE_S[min(tries, len(_PAUSE_S) - 1)])
            tries += 1

    def _break(self, error: Exception, batch: Sequence[_Piece]) -> None:
        with self._changed:
            self._broken = error if isinstance(error, DrError) else _bug(error)
            waiting = [piece.future for piece in (*batch, *self._pending) if piece.future]
            self._pending.clear()
            self._busy = False
            self._changed.notify_all()
        for future in waiting:
            future.set_exception(self._broken)


def _bug(error: Exception) -> DrError:
    failure = DrError(BACKUP_FAILED, f"the change log could not be written: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _pieces(entries: Sequence[Entry], watermark: datetime, future: Future[Head], arrived: float) -> list[_Piece]:
    """An append that is too large for one segment comes in several; only after the last one is nothing missing."""
    pieces: list[_Piece] = []
    lines: list[bytes] = []
    size, start = 0, 0

    def cut(end: int, mark: datetime | None, done: Future[Head] | None) -> None:
        instants = [entry.at for entry in entries[start:end]]
        first, last = min(instants, default=None), max(instants, default=None)
        pieces.append(_Piece(lines, size, first, last, mark, done, arrived))

    for index, entry in enumerate(entries):
        line = encode_entry(entry)
        if lines and size + len(line) > SEGMENT_BYTES:
            cut(index, None, None)
            lines, size, start = [], 0, index
        lines.append(line)
        size += len(line)
    cut(len(entries), watermark, future)
    return pieces


def _latest(*instants: datetime | None) -> datetime | None:
    return max((one for one in instants if one), default=None)
