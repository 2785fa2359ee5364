"""Everything that lies in a vault, listed once, and what of it can be told from a listing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from dr.errors import DAMAGED, NEWER_FORMAT, NOT_FOUND, DrError
from dr.model.ids import Slot
from dr.model.points import PointManifest, PointSummary
from dr.plan.leftovers import Loose
from dr.plan.retain import Known, Unreadable
from dr.ports import ObjectInfo, ObjectStore
from dr.record.catalogue import READERS, ReadPoint, find_point
from dr.record.layout import POINTS, point_slot
from dr.record.summary import of_listing

DATA, LOG, QUARANTINE = "data/", "log/", "quarantine/"
_SEGMENT = re.compile(r"log/[^/]+/(\d{12})\.zst")


@dataclass
class Inventory:
    """Objects by what they are. Manifests are read when something depends on them, each once."""

    vault: ObjectStore
    manifests: Mapping[str, ObjectInfo]
    slots: Mapping[str, Slot]
    """By manifest name."""
    data: Mapping[str, Mapping[str, Sequence[ObjectInfo]]]
    """Slot -> prefix of the attempt -> its objects."""
    segments: Mapping[str, Sequence[ObjectInfo]]
    """Folder of the change log -> its segments, in order."""
    quarantine: Sequence[ObjectInfo]
    summaries: dict[str, PointSummary] = field(default_factory=dict)
    read: dict[str, ReadPoint] = field(default_factory=dict)
    unreadable: dict[str, Unreadable] = field(default_factory=dict)

    def known(self) -> list[Known]:
        """The points that can be read, with what the store says of all their objects."""
        return [self._known(name, summary) for name, summary in self.summaries.items() if name not in self.unreadable]

    def _known(self, name: str, summary: PointSummary) -> Known:
        objects = self.objects_of(name)
        locks = [info.retain_until for info in objects if info.retain_until]
        return Known(summary, max(locks, default=None), any(info.held for info in objects))

    def objects_of(self, manifest: str) -> list[ObjectInfo]:
        """The manifest first, then all that was staged for its slot."""
        staged = self.data.get(self.slots[manifest].id, {})
        return [self.manifests[manifest], *(info for objects in staged.values() for info in objects)]

    def manifest(self, name: str) -> PointManifest | None:
        """None: it cannot be read. Raises DrError when that says nothing about it (UNREACHABLE)."""
        self.read_all([name])
        return self.read[name].manifest if name in self.read else None

    def read_all(self, names: Iterable[str]) -> bool:
        """Read those that were not read yet; whether there were any."""
        todo = [name for name in names if name not in self.read and name not in self.unreadable]
        if not todo:
            return False
        with ThreadPoolExecutor(READERS, thread_name_prefix="manifests") as pool:
            for name, result in zip(todo, pool.map(self._try, todo), strict=True):
                self._take(name, result)
        return True

    def _try(self, name: str) -> ReadPoint | DrError:
        try:
            return find_point(self.vault, name)
        except DrError as error:
            if error.kind not in (DAMAGED, NEWER_FORMAT, NOT_FOUND):
                raise
            return error

    def _take(self, name: str, result: ReadPoint | DrError) -> None:
        if isinstance(result, ReadPoint):
            self.read[name], self.summaries[name] = result, result.summary
            return
        slot = self.slots[name]
        told = self.summaries.get(name)
        needs = told.parents if told else None
        self.unreadable[name] = Unreadable(name, slot.source, slot.due, result.message, needs)


def take_inventory(vault: ObjectStore) -> Inventory:
    """List everything. Raises DrError UNREACHABLE, NOT_AUTHORISED, NOT_FOUND."""
    with ThreadPoolExecutor(4, thread_name_prefix="inventory") as pool:
        points, data, log, quarantine = pool.map(
            lambda prefix: list(vault.list(prefix)), (POINTS, DATA, LOG, QUARANTINE)
        )
    slots = {info.name: slot for info in points if (slot := point_slot(info.name))}
    manifests = {info.name: info for info in points if info.name in slots}
    told = {name: summary for name, info in manifests.items() if (summary := of_listing(info))}
    found = Inventory(vault, manifests, slots, _by_attempt(data), _by_log(log), quarantine, told)
    # what a listing does not tell, or not whole, is read
    found.read_all(name for name in manifests if name not in told or told[name].parents is None)
    return found


def loose(info: ObjectInfo) -> Loose:
    """As decisions see it."""
    return Loose(info.name, info.created, info.retain_until, info.held)


def segment_seq(info: ObjectInfo) -> int:
    """The number in a segment's name."""
    match = _SEGMENT.fullmatch(info.name)
    assert match is not None
    return int(match[1])


def newest_created(objects: Iterable[ObjectInfo]) -> datetime:
    """There is at least one."""
    return max(info.created for info in objects)


def _by_attempt(objects: Iterable[ObjectInfo]) -> dict[str, dict[str, list[ObjectInfo]]]:
    found: dict[str, dict[str, list[ObjectInfo]]] = {}
    for info in objects:
        parts = info.name.split("/", 3)
        # data/<slot>/<attempt>/...: anything else is none of ours
        if len(parts) == 4 and parts[2].isdigit():
            found.setdefault(parts[1], {}).setdefault(f"{DATA}{parts[1]}/{parts[2]}/", []).append(info)
    return found


def _by_log(objects: Iterable[ObjectInfo]) -> dict[str, list[ObjectInfo]]:
    found: dict[str, list[ObjectInfo]] = {}
    for info in objects:
        if _SEGMENT.fullmatch(info.name):
            found.setdefault(info.name.rpartition("/")[0], []).append(info)
    return found
