"""The deletions of one prune: tombstones whose grace is over, each thing looked at once more right before it goes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from dr.errors import NOT_FOUND, RETENTION_REFUSED, TOO_MUCH_AT_ONCE, DrError
from dr.model.points import PointSummary
from dr.model.retention import Condemned, PruneBegun, PruneEnded, Remains, StoredObject, Tombstone
from dr.model.timeline import format_instant
from dr.plan.guards import share_of, too_much
from dr.ports import Clock, ObjectStore
from dr.record.freeze import require_not_frozen
from dr.record.holds import active_holds
from dr.record.tombstones import Standing, Tombstones
from dr.run.inventory import Inventory

DELETERS = 16


@dataclass(frozen=True, slots=True)
class Means:
    """What a deletion works with."""

    control: ObjectStore
    vault: ObjectStore
    stones: Tombstones
    clock: Clock
    by: str


class Deletion:
    """Of one run over one vault. `going`: what may still go by today's decision; `allowed`: share of the points."""

    def __init__(self, means: Means, inventory: Inventory, going: Iterable[Condemned], allowed: float) -> None:
        self.deleted: list[str] = []
        self.spared: dict[str, str] = {}
        self.unsettled: list[str] = []
        self.settled: set[str] = set()
        """Tombstones that are ended."""
        self.gone: set[str] = set()
        """Objects that this run deleted."""
        self._means, self._inventory, self._allowed = means, inventory, allowed
        self._may_go = frozenset(entry.name for target in going for entry in target.objects)
        self._children = _children(inventory.summaries.values())
        self._share = 0.0
        self._began = False

    def run(self, standing: Sequence[Standing], now: datetime) -> None:
        """Oldest tombstone first, as far as the allowed share goes. Raises DrError FROZEN, TOO_MUCH_AT_ONCE, UNREACHABLE..."""
        for one in standing:
            if one.tombstone.due <= now:
                if not self._allow(one.tombstone):
                    return
                self._settle(one.tombstone)

    def _allow(self, stone: Tombstone) -> bool:
        """False: what is left waits for the next run."""
        going = [target for target in stone.targets if target.objects[0].name in self._may_go]
        share = share_of(summaries_of(self._inventory, going), self._inventory.summaries.values())
        words = too_much(self._share + share, max(stone.share, self._allowed))
        if words and not self._began:
            hint = f"if that is right: dr points prune --allow-share {share_percent(share)}"
            raise DrError(TOO_MUCH_AT_ONCE, f"nothing of {self._means.vault.url} is pruned: {words}", hint=hint)
        if words:
            since = format_instant(stone.decided)
            self.unsettled.append(f"what was condemned at {since} is left for the next run: {words}")
            return False
        self._share += share
        self._began = True
        return True

    def _settle(self, stone: Tombstone) -> None:
        means, open_before = self._means, len(self.unsettled)
        means.stones.begin(PruneBegun(stone.id, means.clock.now(), means.by))
        deleted: list[str] = []
        spared: dict[str, str] = {}
        for target in stone.targets:
            troubles = len(self.unsettled)
            why = self._remove(stone, target)
            if why:
                spared[target.name] = why
            elif len(self.unsettled) == troubles:
                deleted.append(target.name)
        if len(self.unsettled) == open_before:
            means.stones.end(PruneEnded(stone.id, means.clock.now(), means.by, tuple(deleted), spared))
            self.settled.add(stone.id)
        self.deleted += deleted
        self.spared |= spared

    def _remove(self, stone: Tombstone, target: Condemned) -> str:
        """Why it is spared; empty when it is gone, or when what is left of it is noted as unsettled."""
        if stone.vault != self._means.vault.url:
            return f"it was condemned in {stone.vault}"
        require_not_frozen(self._means.control)
        if target.what is Remains.POINT:
            return self._remove_point(target)
        # a tombstone names what it may take; today's decision names what may go: only what both name goes
        objects = [entry for entry in target.objects if entry.name in self._may_go]
        if not objects:
            return self._already(target)
        self._remove_objects(target, objects)
        return ""

    def _already(self, target: Condemned) -> str:
        """Nothing of it may go: either because nothing of it is left, or because something speaks for it by now."""
        return "" if not any(map(self._is_there, target.objects)) else "something speaks for it by now"

    def _is_there(self, entry: StoredObject) -> bool:
        return self._means.vault.stat(entry.name) is not None

    def _remove_point(self, target: Condemned) -> str:
        manifest, *others = target.objects
        listed = self._inventory.manifests.get(target.name)
        if listed is not None:
            if why := self._kept(target, listed.generation):
                return why
            if why := self._try(manifest):
                return why
        self._remove_objects(target, others)
        return ""

    def _kept(self, target: Condemned, generation: int) -> str:
        """Asked right before the deletion: a hold always wins, however late it comes (I5)."""
        if target.objects[0].generation != generation:
            return "its manifest is another one now"
        if target.name not in self._may_go:
            return "something speaks for it by now"
        child = next((name for name in self._children.get(target.name, ()) if self._stands(name)), "")
        if child:
            return f"needed by {child}"
        means = self._means
        held = active_holds(means.control, means.clock.now(), target.name).get(target.name, ())
        return "; ".join(f"held by {hold.by}: {hold.reason}" for hold in held)

    def _stands(self, manifest: str) -> bool:
        return manifest in self._inventory.manifests and manifest not in self.gone

    def _remove_objects(self, target: Condemned, objects: Sequence[StoredObject]) -> None:
        with ThreadPoolExecutor(min(DELETERS, len(objects)) or 1, thread_name_prefix="prune") as pool:
            refused = [words for words in pool.map(self._try, objects) if words]
        if refused:
            more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
            self.unsettled.append(f"{target.name}: {refused[0]}{more}")

    def _try(self, entry: StoredObject) -> str:
        """Why the store refused; what is gone already is gone. Raises DrError for all that is no answer about the object."""
        try:
            self._means.vault.delete(entry.name, generation=entry.generation)
            self.gone.add(entry.name)
        except DrError as error:
            if error.kind is RETENTION_REFUSED:
                return error.message
            if error.kind is not NOT_FOUND:
                raise
        return ""


def summaries_of(inventory: Inventory, targets: Iterable[Condemned]) -> list[PointSummary]:
    """The points among them that are still listed."""
    names = (target.name for target in targets if target.what is Remains.POINT)
    return [inventory.summaries[name] for name in names if name in inventory.summaries]


def share_percent(share: float) -> str:
    """For `--allow-share`: rounded up, so that it suffices."""
    return f"{math.ceil(share * 1000) / 10:g}%"


def _children(points: Iterable[PointSummary]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for point in points:
        for parent in point.parents or ():
            found.setdefault(parent, []).append(point.name)
    return found
