"""Copying a backup's folder between Velero's bucket and the vault: whole, hashed on the way, compared with its origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dr.errors import BACKUP_FAILED, DAMAGED, DrError
from dr.ports import Clock, ObjectInfo, ObjectStore, Stored

_PARALLEL = 8
_LAG_S = 20.0
"""How long an upload may come after the phase that should follow it."""


@dataclass(frozen=True, slots=True)
class Copied:
    """One object and its copy."""

    name: str
    """Of the copy, in its store."""
    origin: ObjectInfo
    stored: Stored


def copy_all(
    origin: ObjectStore, target: ObjectStore, pairs: Sequence[tuple[ObjectInfo, str]], done: Callable[[int], None]
) -> tuple[Copied, ...]:
    """Copy each object to its name in `target`, create-only, several at a time; `done(bytes)` after each.

    Largest first, because the archive decides how long all of them take. Raises DrError DAMAGED, CONFLICT.
    """
    largest_first = sorted(pairs, key=lambda pair: -pair[0].size)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        copies = pool.map(lambda pair: _copy(origin, target, *pair), largest_first)
        return tuple(sorted(_told(copies, done), key=lambda copied: copied.name))


def _told(copies: Iterable[Copied], done: Callable[[int], None]) -> Iterator[Copied]:
    """`done` belongs to the calling thread: it journals and may raise."""
    for copied in copies:
        done(copied.origin.size)
        yield copied


def _copy(origin: ObjectStore, target: ObjectStore, info: ObjectInfo, name: str) -> Copied:
    stored = target.put_stream(name, origin.stream(info.name, generation=info.generation))
    if (stored.info.size, stored.info.crc32c) != (info.size, info.crc32c):
        raise DrError(DAMAGED, f"{target.url}/{name} differs from {origin.url}/{info.name} that it was copied from")
    return Copied(name, info, stored)


def settled(
    store: ObjectStore, prefix: str, wanted: Iterable[str], ready: Callable[[], bool], clock: Clock
) -> list[ObjectInfo]:
    """The objects under `prefix` once all of `wanted` are there, none of them is empty, and `ready()` holds.

    Velero sets the phase before its last upload, so this waits a little for what is late. Raises DrError BACKUP_FAILED
    naming what is missing or empty.
    """
    files = tuple(wanted)
    end = clock.stamp().monotonic + _LAG_S
    while True:
        found = {info.name.removeprefix(prefix): info for info in store.list(prefix)}
        faults = [f"{file} is missing" for file in files if file not in found]
        faults += [f"{file} is empty" for file, info in sorted(found.items()) if info.size == 0]
        if not faults and not ready():
            faults = ["its metadata in the bucket has no final phase"]
        if not faults:
            return list(found.values())
        if clock.stamp().monotonic >= end:
            raise DrError(BACKUP_FAILED, f"Velero calls it Completed, but in {store.url}/{prefix} " + ", ".join(faults))
        clock.sleep(0.05)
