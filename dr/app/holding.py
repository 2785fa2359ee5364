"""Points held and released by people: a record in the control repository, and a hold or lock of the store on every object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from dr.app.core import App
from dr.app.overview import forget
from dr.app.who import who
from dr.errors import NOT_FOUND, USAGE, DrError
from dr.model.ids import Slot
from dr.model.points import PointManifest
from dr.model.retention import HoldKind, HoldRecord
from dr.model.timeline import format_instant
from dr.ports import ObjectInfo, ObjectStore
from dr.record.catalogue import ReadPoint, find_point
from dr.record.holds import active_holds, new_hold, place, release
from dr.record.layout import point_slot
from dr.record.tombstones import Tombstones
from dr.run.runner import retain

HANDS = 16
"""Objects held at the same time."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What speaks for points beside their retention, and what was condemned: by manifest name."""

    holds: Mapping[str, Sequence[HoldRecord]]
    condemned: Mapping[str, datetime]
    """From when on it may be deleted."""
    unknown: str = ""
    """Why neither could be looked up."""


def keeping(app: App, components: Sequence[str] = ()) -> Keeping:
    """Never raises DrError: a listing of points is worth something without it."""
    try:
        holds = active_holds(app.control, app.clock.now())
        names = [row.component for row in app.rows(components) if row.sources]
        stones = [one.tombstone for name in names for one in Tombstones(app.control, name).standing()]
    except DrError as error:
        return Keeping({}, {}, f"holds and tombstones are not known: {error.message}")
    return Keeping(holds, {target.name: stone.due for stone in stones for target in stone.targets})


def hold(app: App, name: str, reason: str, until: datetime | None) -> HoldRecord:
    """When it returns, neither retention nor any identity removes the point: the store refuses.

    Until it is released, or (`until`) until that instant, and then nobody can release it. Raises DrError NOT_FOUND, USAGE, and
    NOT_FOUND naming the object when the point is not whole any more.
    """
    now = app.clock.now()
    if until is not None and until <= now:
        raise DrError(USAGE, f"{format_instant(until)} is past: nothing would be held")
    point, vault = point_named(app, name)
    mode = HoldKind.HOLD if until is None else HoldKind.EXTENSION
    record = new_hold(mode, point.ref.name, now, who(app), reason, until)
    place(app.control, record)
    if until is None:
        on_every_object(point, lambda name, generation: vault.hold(name, generation=generation, held=True))
    else:
        on_every_object(point, lambda name, generation: retain(vault, name, generation, until))
    forget(app)
    return record


def let_go(app: App, name: str, reason: str) -> tuple[HoldRecord, ...]:
    """Ends the holds of people on a point (a running restore's stays). Raises DrError NOT_FOUND when there is none.

    What was held until an instant stays locked in the store until then.
    """
    point, vault = point_named(app, name)
    now = app.clock.now()
    standing = active_holds(app.control, now, point.ref.name).get(point.ref.name, ())
    ours = tuple(record for record in standing if record.mode is not HoldKind.LEASE)
    held = any(info is not None and info.held for info in _infos(vault, point.manifest))
    if not ours and not held:
        raise DrError(NOT_FOUND, f"{point.ref.name} is not held", hint="`dr points list` shows what is")
    for record in ours:
        release(app.control, record, now, who(app), reason)
    on_every_object(point, lambda name, generation: vault.hold(name, generation=generation, held=False))
    forget(app)
    return ours


def point_named(app: App, name: str) -> tuple[ReadPoint, ObjectStore]:
    """By slot or manifest name, without a listing. Raises DrError NOT_FOUND, DAMAGED."""
    slot = point_slot(name) or _slot(name)
    if slot is None:
        raise DrError(NOT_FOUND, f"there is no recovery point {name!r}", hint="`dr points list -o name` lists them")
    vault = app.vault(slot.source.component)
    return find_point(vault, f"points/{slot.due:%Y/%m/%d}/{slot.id}.json"), vault


def _slot(text: str) -> Slot | None:
    try:
        return Slot.parse(text)
    except ValueError:
        return None


def on_every_object(point: ReadPoint, act: Callable[[str, int], None]) -> None:
    """The manifest and what it names. Raises DrError NOT_FOUND naming what is gone."""
    objects = [(point.ref.name, point.ref.generation)]
    objects += [(artefact.name, artefact.generation) for artefact in point.manifest.artefacts]
    with ThreadPoolExecutor(HANDS, thread_name_prefix="hold") as pool:
        list(pool.map(lambda entry: act(*entry), objects))


def _infos(vault: ObjectStore, manifest: PointManifest) -> list[ObjectInfo | None]:
    names = [manifest.name, *(artefact.name for artefact in manifest.artefacts)]
    with ThreadPoolExecutor(HANDS, thread_name_prefix="hold") as pool:
        return list(pool.map(vault.stat, names))
