"""While a restore or a drill works, the points of its plan are held: no prune takes them from under it.

A lease holds by itself for a day and is renewed while the work goes on. When all is restored it is released; after a failure it
runs out by itself, so that the restore can be resumed in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from dr.errors import DAMAGED, LOCKED, NEWER_FORMAT, DrError
from dr.model.plans import RestorePlan
from dr.model.retention import HoldKind, HoldRecord, Remains
from dr.ports import Clock, ObjectStore
from dr.record.holds import new_hold, place, release
from dr.record.tombstones import Standing, Tombstones

LEASE = timedelta(days=1)
RENEW_S = LEASE.total_seconds() / 3


class Leases:
    """Holds on the points of one plan. `by`: who restores."""

    def __init__(self, control: ObjectStore, clock: Clock, by: str) -> None:
        self._control, self._clock, self._by = control, clock, by
        self._placed: list[HoldRecord] = []

    def place(self, names: Sequence[str], reason: str) -> None:
        """One more lease on each; those that are there go on."""
        for name in names:
            now = self._clock.now()
            record = new_hold(HoldKind.LEASE, name, now, self._by, reason, now + LEASE)
            place(self._control, record)
            self._placed.append(record)

    def release(self, reason: str) -> None:
        """What cannot be released runs out by itself: no reason to fail a restore that is done."""
        for record in self._placed:
            with suppress(DrError):
                release(self._control, record, self._clock.now(), self._by, reason)


def plan_points(plan: RestorePlan) -> tuple[tuple[str, str], ...]:
    """(component, manifest) of every point that the plan restores from, each once."""
    return tuple(dict.fromkeys((item.source.component, item.point.name) for item in plan.items if item.point))


@contextmanager
def leased(control: ObjectStore, clock: Clock, by: str, plan: RestorePlan) -> Iterator[Callable[[], None]]:
    """Hold the plan's points inside the block, and until the lease runs out unless what this gives is called. Raises DrError
    LOCKED when one of them is being deleted at this moment."""
    points, reason = plan_points(plan), f"{plan.id} restores from it"
    names = [name for _, name in points]
    leases, done = Leases(control, clock, by), threading.Event()
    leases.place(names, reason)
    for component, name in points:
        refuse_dying(control, component, name)
    renewer = threading.Thread(target=_renew, args=(leases, names, reason, done), name="leases", daemon=True)
    renewer.start()
    try:
        yield lambda: leases.release(f"{plan.id} ended")
    finally:
        done.set()
        renewer.join()


def _renew(leases: Leases, names: Sequence[str], reason: str, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        try:
            leases.place(names, reason)
        except DrError:
            # the lease that stands lasts two more rounds
            continue


def refuse_dying(control: ObjectStore, component: str, point: str) -> None:
    """To be asked *after* a hold was placed. A prune writes `begun` before it looks for holds: so either it sees the hold, or
    this sees `begun`. Raises DrError LOCKED."""
    for one in _standing(control, component):
        named = {target.name for target in one.tombstone.targets if target.what is Remains.POINT}
        if one.begun and point in named:
            raise DrError(
                LOCKED,
                f"{point} was condemned and is being deleted by {one.tombstone.by}",
                hint="choose another point: `dr points list --fresh`",
            )


def _standing(control: ObjectStore, component: str) -> tuple[Standing, ...]:
    """A tombstone that cannot be read stops no restore: the prune cannot read it either, and deletes nothing."""
    try:
        return Tombstones(control, component).standing()
    except DrError as error:
        if error.kind in (DAMAGED, NEWER_FORMAT):
            return ()
        raise
