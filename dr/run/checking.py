"""What `dr check` looks at: stores, formats, clocks, and each source's own checks. A failure to look is a failed check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from dr.errors import DrError
from dr.model.points import Check
from dr.plan.permissions import CAPTURE, FORBIDDEN, Where, permissions
from dr.ports import ObjectStore, Source
from dr.record.layout import check_format

SKEW = timedelta(minutes=5)
"""Locks and schedules are promises about time: beyond this difference of clocks they are none."""


def check_everything(
    places: Mapping[str, ObjectStore], sources: Sequence[Source], now: Callable[[], datetime]
) -> tuple[Check, ...]:
    """All checks, places first; asked side by side. `places`: `control`, and the vault of each component."""
    with ThreadPoolExecutor(8, thread_name_prefix="check") as pool:
        stores = [pool.submit(_looked_at, role, store, now) for role, store in places.items()]
        others = [pool.submit(_source, source) for source in sources]
        return tuple(check for future in [*stores, *others] for check in future.result())


def _source(source: Source) -> list[Check]:
    try:
        return list(source.check())
    except DrError as error:
        return [Check(str(source.spec.id), False, error.message)]


def _looked_at(role: str, store: ObjectStore, now: Callable[[], datetime]) -> list[Check]:
    return list(_store(role, store, now))


def _store(role: str, store: ObjectStore, now: Callable[[], datetime]) -> Iterator[Check]:
    where = f"{role} {store.url}"
    try:
        yield from _permissions(where, role, store)
        yield _clock(where, store, now)
        yield _format(where, role, store)
    except DrError as error:
        yield Check(where, False, error.message)


def _permissions(where: str, role: str, store: ObjectStore) -> Iterator[Check]:
    wanted = permissions(CAPTURE, Where.CONTROL if role == "control" else Where.VAULT)
    missing = store.missing_permissions(wanted)
    yield Check(
        f"{where}: permissions", not missing, f"missing: {', '.join(missing)}" if missing else f"{len(wanted)} held"
    )
    if store.url.startswith("gs://"):
        safe = set(store.missing_permissions(FORBIDDEN[CAPTURE])) == set(FORBIDDEN[CAPTURE])
        words = (
            "this identity cannot delete"
            if safe
            else "this identity may delete what it wrote: take the permission away"
        )
        yield Check(f"{where}: no deletion", safe, words)


def _clock(where: str, store: ObjectStore, now: Callable[[], datetime]) -> Check:
    before, theirs, after = now(), store.server_time(), now()
    if theirs is None:
        return Check(f"{where}: clock", True, "the store has no clock of its own")
    # an HTTP date is a whole second: what lies within the call and that second is no skew
    skew = max(before - theirs - timedelta(seconds=1), theirs - after, timedelta(0))
    return Check(f"{where}: clock", skew <= SKEW, f"differs by {skew.total_seconds():.1f} s, at most {SKEW.seconds} s")


def _format(where: str, role: str, store: ObjectStore) -> Check:
    check_format(store, "control" if role == "control" else "vault")
    return Check(f"{where}: format", True, "format 1")
