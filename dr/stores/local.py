"""Objects in a directory: `file:///srv/backups`. Survives kill -9 and power loss; one host at a time.

Objects are files under their own names; `.dr-tmp/` holds what is being written, `.dr-locks/` the retention of objects.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from dr.errors import CONFLICT, NOT_AUTHORISED, NOT_FOUND, REJECTED, RETENTION_REFUSED, UNAVAILABLE, DrError
from dr.model.timeline import format_instant, parse_instant
from dr.ports import ObjectInfo, Stored
from dr.stores.digest import Digest, require_name, require_whole
from dr.stores.localfile import Header, read_header, read_object, settle, write_object

SEIZE_S = 30.0
"""How long another process's turn is waited for."""
SEIZE_LOOK_S = 0.005
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITING = frozenset({"storage.objects.create", "storage.objects.delete", "storage.objects.update"})


class LocalStore:
    """An ObjectStore over a directory, which is made at the first write. `now` decides about retention."""

    def __init__(self, root: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._root = root
        self._now = now

    @property
    def url(self) -> str:
        return f"file://{self._root}"

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        return self.put_stream(name, [data], if_generation=if_generation, metadata=metadata).info

    def put_stream(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        if_generation: int | None = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        path = self._path(name)
        digest = Digest()
        with _errors(f"write {self.url}/{name}"), self._temporary() as temporary:
            file = write_object(temporary, digest.passing(chunks))
            generation = time.time_ns() // 1000
            header = Header(digest.size, digest.crc32c, generation, self._now(), dict(metadata or {}))
            if if_generation == 0:
                settle(file, header)
                return Stored(self._create(temporary, path, name, header), digest.sha256)
            with file, self._exclusive():
                return Stored(self._replace(file, temporary, path, name, header, if_generation), digest.sha256)

    def _create(self, temporary: Path, path: Path, name: str, header: Header) -> ObjectInfo:
        """link(2) refuses an existing name, which makes it the create-only of a file system."""
        _make_directories(path.parent)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return self._same_or_conflict(name, header)
        _sync_directory(path.parent)
        return header.info(name, None)

    def _replace(
        self, file: object, temporary: Path, path: Path, name: str, header: Header, wanted: int | None
    ) -> ObjectInfo:
        old = self.stat(name)
        if wanted is not None and (old.generation if old else 0) != wanted:
            return self._same_or_conflict(name, header)
        if old is not None:
            self._refuse_retained(old)
            newer = max(header.generation, old.generation + 1)
            header = Header(header.size, header.crc32c, newer, header.created, header.metadata)
        settle(file, header)  # type: ignore[arg-type]
        _make_directories(path.parent)
        temporary.rename(path)
        _sync_directory(path.parent)
        return header.info(name, None)

    def _same_or_conflict(self, name: str, header: Header) -> ObjectInfo:
        stored = self.stat(name)
        if stored is not None and (stored.size, stored.crc32c) == (header.size, header.crc32c):
            return stored
        raise DrError(CONFLICT, f"{self.url}/{name} is not at the expected generation")

    def get(self, name: str, *, generation: int | None = None) -> bytes:
        return b"".join(self.stream(name, generation=generation))

    def stream(self, name: str, *, generation: int | None = None) -> Iterator[bytes]:
        where = f"{self.url}/{name}"
        with _errors(f"read {where}"):
            header, pieces = read_object(self._path(name))
            if generation not in (None, header.generation):
                raise DrError(NOT_FOUND, f"{where} does not exist at {generation}")
            digest = Digest(sha=False)
            yield from digest.passing(pieces)
            require_whole(where, digest, header.size, header.crc32c)

    def stat(self, name: str) -> ObjectInfo | None:
        path = self._path(name)
        with _errors(f"read {self.url}/{name}"):
            try:
                header = read_header(path)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            return header.info(name, self._retained(name, header.generation), held=self._held(name, header.generation))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        if not self._root.is_dir():
            raise DrError(NOT_FOUND, f"{self.url} does not exist")
        for name in _walk(self._root, "", prefix, start_after):
            info = self.stat(name)
            if info is not None:
                yield info

    def delete(self, name: str, *, generation: int) -> None:
        with _errors(f"delete {self.url}/{name}"), self._exclusive():
            self._refuse_retained(self._at(name, generation))
            self._path(name).unlink()
            self._lock_path(name).unlink(missing_ok=True)
            self._hold_path(name).unlink(missing_ok=True)
            _sync_directory(self._path(name).parent)

    def retain(self, name: str, *, generation: int, until: datetime) -> None:
        with _errors(f"lock {self.url}/{name}"), self._exclusive():
            held = self._at(name, generation).retain_until
            if held is not None and until < held:
                raise DrError(RETENTION_REFUSED, f"{self.url}/{name} is locked until {format_instant(held)} already")
            self._write_beside(self._lock_path(name), f"{generation} {format_instant(until)}\n")

    def hold(self, name: str, *, generation: int, held: bool) -> None:
        with _errors(f"hold {self.url}/{name}"), self._exclusive():
            self._at(name, generation)
            path = self._hold_path(name)
            if held:
                self._write_beside(path, f"{generation}\n")
            elif path.exists():
                path.unlink()
                _sync_directory(path.parent)

    def _write_beside(self, path: Path, text: str) -> None:
        """Whole or not at all, and durable."""
        with self._temporary() as temporary:
            with temporary.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _make_directories(path.parent)
            temporary.rename(path)
            _sync_directory(path.parent)

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        base = next(path for path in (self._root, *self._root.parents) if path.exists())
        writable, readable = os.access(base, os.W_OK | os.X_OK), os.access(base, os.R_OK | os.X_OK)
        return tuple(name for name in wanted if not (writable if name in _WRITING else readable))

    def server_time(self) -> datetime | None:
        return None

    def _path(self, name: str) -> Path:
        return self._root / require_name(name)

    def _lock_path(self, name: str) -> Path:
        return self._root / ".dr-locks" / name

    def _hold_path(self, name: str) -> Path:
        return self._root / ".dr-holds" / name

    def _at(self, name: str, generation: int) -> ObjectInfo:
        info = self.stat(name)
        if info is None or info.generation != generation:
            raise DrError(NOT_FOUND, f"{self.url}/{name} does not exist at {generation}")
        return info

    def _retained(self, name: str, generation: int) -> datetime | None:
        try:
            locked, until = self._lock_path(name).read_text().split()
        except FileNotFoundError:
            return None
        return parse_instant(until) if int(locked) == generation else None

    def _held(self, name: str, generation: int) -> bool:
        try:
            return int(self._hold_path(name).read_text()) == generation
        except FileNotFoundError:
            return False

    def _refuse_retained(self, info: ObjectInfo) -> None:
        if info.held:
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is under a hold")
        if info.retain_until is not None and info.retain_until > self._now():
            until = format_instant(info.retain_until)
            raise DrError(RETENTION_REFUSED, f"{self.url}/{info.name} is locked until {until}")

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        directory = self._root / ".dr-tmp"
        _make_directories(directory)
        path = directory / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Replacing, deleting and locking ask first and act then: one process at a time."""
        _make_directories(self._root / ".dr-tmp")
        with (self._root / ".dr-tmp" / "exclusive").open("a") as file:
            self._seize(file.fileno())
            yield

    def _seize(self, file: int) -> None:
        """A process that was stopped while it held the lock must not hold everybody for good."""
        deadline = time.monotonic() + SEIZE_S
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DrError(UNAVAILABLE, f"{self.url}: another process has held it for {SEIZE_S:g} s") from None
                time.sleep(SEIZE_LOOK_S)


def _walk(root: Path, base: str, prefix: str, start_after: str) -> Iterator[str]:
    """Names in the order of their bytes. A directory sorts as its name with the slash, as its content does."""
    with os.scandir(root / base) as entries:
        found = sorted(entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries)
    for entry in found:
        name = base + entry
        if entry.startswith(".dr-") or not (name.startswith(prefix) or prefix.startswith(name)):
            continue
        if not entry.endswith("/"):
            if name.startswith(prefix) and name > start_after:
                yield name
        elif name > start_after or start_after.startswith(name):
            yield from _walk(root, name, prefix, start_after)


def _make_directories(path: Path) -> None:
    """Also durable: a synced file in an unsynced directory is lost with it."""
    if path.is_dir():
        return
    _make_directories(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DrError(NOT_FOUND, f"cannot {what}: it does not exist") from error
    except PermissionError as error:
        raise DrError(NOT_AUTHORISED, f"cannot {what}: {error.strerror}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise DrError(REJECTED, f"cannot {what}: an object has the name of one of its folders") from error
    except OSError as error:
        hint = "make room there; nothing half-written is left" if error.errno in _FULL else ""
        raise DrError(UNAVAILABLE, f"cannot {what}: {error.strerror}", hint=hint) from error
