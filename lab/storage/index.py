"""The index: buckets, generations, small payloads and upload sessions in SQLite, with one fsync for many requests.

All calls come from the event loop's thread and none waits between its check and its write, so there are no locks.
Writes open a transaction that is committed in the next turn of the loop; a response, of a read too, is sent only after
`settled`: nobody ever sees what a crash could take back.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path

from lab.storage.model import Bucket, Content, Object, Session, State

SCHEMA = """
create table if not exists buckets (name text primary key, document text not null) without rowid;
create table if not exists objects (
  bucket text not null, name text not null, generation integer not null, state text not null, payload text not null,
  hard_delete_us integer not null, document text not null, primary key (bucket, name, generation)) without rowid;
create index if not exists by_state on objects (bucket, state, name, generation);
create index if not exists by_payload on objects (payload);
create table if not exists payloads (id text primary key, data blob not null) without rowid;
create table if not exists sessions (id text primary key, document text not null) without rowid;
"""
COLUMNS = "bucket, name, generation, state, payload, document"
CACHE_PAGES = -65_536  # 64 MiB
WAL_PAGES = 4_000


class Index:
    """Open with the database's path; `freed` is told each payload file that nothing refers to any more."""

    def __init__(self, path: Path, freed: Callable[[str], None]) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=wal", "synchronous=full", f"cache_size={CACHE_PAGES}"):
            self._db.execute(f"pragma {pragma}")
        self._db.execute(f"pragma wal_autocheckpoint={WAL_PAGES}")
        self._db.executescript(SCHEMA)
        self._freed, self._after = freed, list[Callable[[], object]]()
        self._pending: asyncio.Future[None] | None = None
        self._buckets = {bucket.name: bucket for bucket in self._load_buckets()}
        self.commits = 0

    def close(self) -> None:
        """Commit what is pending and close."""
        if self._pending is not None:
            self._commit()
        self._db.close()

    async def settled(self) -> None:
        """Wait until all that was written so far is durable. Raises sqlite3.Error when it could not be made so."""
        if self._pending is not None:
            await asyncio.shield(self._pending)

    def after_commit(self, action: Callable[[], object]) -> None:
        """Run `action` once what was just written is durable; never if it fails to be."""
        self._after.append(action)

    # --- buckets -------------------------------------------------------------------------------------------------

    def bucket(self, name: str) -> Bucket | None:
        """One bucket."""
        return self._buckets.get(name)

    def buckets(self, project: str) -> Iterator[Bucket]:
        """A project's buckets in name order."""
        return (self._buckets[name] for name in sorted(self._buckets) if self._buckets[name].project == project)

    def put_bucket(self, bucket: Bucket) -> None:
        """Create or replace."""
        self._write("insert or replace into buckets values (?, ?)", (bucket.name, json.dumps(astuple(bucket))))
        self._buckets[bucket.name] = bucket

    def drop_bucket(self, name: str) -> None:
        """Remove it with its soft-deleted objects; the caller has checked that nothing else is in it."""
        for item in list(self.after(name, (State.SOFT_DELETED,), ("", 0))):
            self.drop(item)
        self._write("delete from buckets where name = ?", (name,))
        del self._buckets[name]

    # --- objects -------------------------------------------------------------------------------------------------

    def live(self, bucket: str, name: str) -> Object | None:
        """The live generation."""
        where = "bucket = ? and state = 'live' and name = ?"
        return self._one(where, (bucket, name))

    def version(self, bucket: str, name: str, generation: int) -> Object | None:
        """One generation in whatever state."""
        return self._one("bucket = ? and name = ? and generation = ?", (bucket, name, generation))

    def after(
        self, bucket: str, states: Sequence[State], position: tuple[str, int], *, below: str = "", limit: int = -1
    ) -> Iterator[Object]:
        """Generations in (name, generation) order, beyond `position`, with names less than `below` (if any)."""
        where = f"bucket = ? and {_either(states)} and (name, generation) > (?, ?)" + (" and name < ?" if below else "")
        values = (bucket, *states, *position, *((below,) if below else ()), limit)
        sql = f"select {COLUMNS} from objects where {where} order by name, generation limit ?"
        return map(_object, self._db.execute(sql, values))

    def put(self, item: Object, content: Content | None = None) -> None:
        """Insert or replace a generation; `content.inline` becomes durable with it."""
        if content is not None and content.inline is not None:
            self._write("insert or replace into payloads values (?, ?)", (content.payload, content.inline))
        values = (item.bucket, item.name, item.generation, item.state, item.payload, item.hard_delete_us, _pack(item))
        self._write("insert or replace into objects values (?, ?, ?, ?, ?, ?, ?)", values)

    def drop(self, item: Object) -> None:
        """Remove a generation, and its payload unless another generation shares it."""
        key = (item.bucket, item.name, item.generation)
        self._write("delete from objects where bucket = ? and name = ? and generation = ?", key)
        if self._db.execute("select 1 from objects where payload = ? limit 1", (item.payload,)).fetchone() is None:
            self._write("delete from payloads where id = ?", (item.payload,))
            self._after.append(partial(self._freed, item.payload))

    def inline(self, payload: str) -> bytes | None:
        """A small payload, None when it is a file."""
        row = self._db.execute("select data from payloads where id = ?", (payload,)).fetchone()
        return bytes(row[0]) if row else None

    def payloads(self) -> set[str]:
        """All payloads that something refers to."""
        return {row[0] for row in self._db.execute("select distinct payload from objects")}

    def last_generation(self) -> int:
        """The greatest generation ever seen here, 0 at first."""
        return int(self._db.execute("select coalesce(max(generation), 0) from objects").fetchone()[0])

    def expired(self, now_us: int) -> list[Object]:
        """Soft-deleted generations whose time is over."""
        where = "state = 'soft' and hard_delete_us <= ?"
        return [_object(row) for row in self._db.execute(f"select {COLUMNS} from objects where {where}", (now_us,))]

    # --- resumable sessions --------------------------------------------------------------------------------------

    def session(self, identifier: str) -> Session | None:
        """One upload session."""
        row = self._db.execute("select document from sessions where id = ?", (identifier,)).fetchone()
        return Session(*json.loads(row[0])) if row else None

    def sessions(self) -> list[Session]:
        """All of them."""
        return [Session(*json.loads(row[0])) for row in self._db.execute("select document from sessions")]

    def put_session(self, session: Session) -> None:
        """Create or replace."""
        self._write("insert or replace into sessions values (?, ?)", (session.id, json.dumps(astuple(session))))

    def drop_session(self, identifier: str) -> None:
        """Forget it."""
        self._write("delete from sessions where id = ?", (identifier,))

    # --- inside --------------------------------------------------------------------------------------------------

    def _write(self, sql: str, values: Sequence[object]) -> None:
        if self._pending is None:
            self._db.execute("begin immediate")
            loop = asyncio.get_running_loop()
            self._pending = loop.create_future()
            loop.call_soon(self._commit)
        self._db.execute(sql, values)

    def _commit(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        after, self._after = self._after, []
        try:
            self._db.execute("commit")
        except sqlite3.Error as error:
            self._undo()
            pending.set_exception(error)
            pending.exception()  # nobody may be waiting
            return
        self.commits += 1
        pending.set_result(None)
        for action in after:
            action()

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the failed commit may have rolled back already
            self._db.execute("rollback")
        self._buckets = {bucket.name: bucket for bucket in self._load_buckets()}

    def _load_buckets(self) -> Iterator[Bucket]:
        return (Bucket(*json.loads(row[0])) for row in self._db.execute("select document from buckets"))

    def _one(self, where: str, values: Sequence[object]) -> Object | None:
        row = self._db.execute(f"select {COLUMNS} from objects where {where}", values).fetchone()
        return _object(row) if row else None


def _either(states: Sequence[State]) -> str:
    return "state = ?" if len(states) == 1 else f"state in ({', '.join('?' * len(states))})"


def _pack(item: Object) -> str:
    """What has no column of its own."""
    sizes = (item.size, item.crc32c, item.md5, item.metageneration, item.created_us, item.updated_us)
    ends = (item.components, item.deleted_us, item.soft_deleted_us, item.hard_delete_us)
    return json.dumps((*sizes, item.settings, *ends))


def _object(row: Sequence[str]) -> Object:
    bucket, name, generation, state, payload, document = row
    return Object(bucket, name, int(generation), State(state), payload, *json.loads(document))


def archived(item: Object, now_us: int) -> Object:
    """The generation as noncurrent."""
    return replace(item, state=State.NONCURRENT, deleted_us=now_us, updated_us=now_us)


def soft_deleted(item: Object, now_us: int, period_s: int) -> Object:
    """The generation as soft-deleted for `period_s` seconds."""
    until = now_us + period_s * 1_000_000
    return replace(item, state=State.SOFT_DELETED, soft_deleted_us=now_us, hard_delete_us=until)
