"""Prune: decide, write tombstones, wait, look again, delete. By an identity that does nothing else.

The order of a deletion: the tombstone lists every object with its generation; `begun` is written; then of each point the
manifest goes first and its artefacts after it. A kill at any moment leaves no manifest that refers to missing objects (I2), and
what is left of a point stands in a tombstone that is not ended, which the next prune finishes (I6, I11).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.errors import CLOCK_SKEW, FROZEN, LISTING_SHRANK, TOO_MUCH_AT_ONCE, DrError
from dr.model.retention import Condemned, PruneEnded, PruneRecord, Remains, Tombstone
from dr.model.timeline import compact_instant
from dr.plan.guards import EMPTY, SHARE, counts_of, share_of, shrunk, skewed, too_much
from dr.plan.retain import SKEW
from dr.ports import Clock, ObjectStore
from dr.record.freeze import require_not_frozen
from dr.record.journal import Journal
from dr.record.layout import point_slot
from dr.record.tombstones import Standing, Tombstones
from dr.run.condemning import Decided, Terms, decide_all, segments_of
from dr.run.deleting import Deletion, Means, share_percent, summaries_of
from dr.run.inventory import Inventory, take_inventory

GRACE = timedelta(days=7)
BATCH = 5000
"""Objects in one tombstone."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may say."""

    grace: timedelta = GRACE
    allow_share: float = SHARE
    accept_shrunk: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PruneResult:
    """Of one component. `refusals`: why a real run would do nothing (a dry run tells them, a real one raises the first)."""

    component: str
    inventory: Inventory
    decided: Decided
    condemned: tuple[Tombstone, ...]
    """Written by this run."""
    standing: tuple[Tombstone, ...]
    """Of earlier runs, not settled yet."""
    deleted: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    """Names of all objects that this run deleted."""
    spared: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[DrError, ...] = ()
    unsettled: tuple[str, ...] = ()
    """Sentences of what could not be deleted, or was left for the next run."""


@dataclass(frozen=True, slots=True)
class Pruner:
    """Of one component's vault."""

    control: ObjectStore
    vault: ObjectStore
    journal: Journal
    clock: Clock
    by: str
    options: Options = field(default_factory=Options)

    def run(self, terms: Terms) -> PruneResult:
        """Raises DrError FROZEN, CLOCK_SKEW, LISTING_SHRANK, TOO_MUCH_AT_ONCE before anything is changed; UNREACHABLE..."""
        stones = Tombstones(self.control, terms.component)
        now = self.clock.now()
        last, standing = stones.last_record(), stones.standing()
        inventory = take_inventory(self.vault)
        refusals = [*self._frozen(), *self._clocks(now, last), *self._listing(inventory, stones, standing, last)]
        self._refuse(refusals)
        decided = decide_all(inventory, terms, self.journal, now)
        fresh = _fresh(decided, standing)
        refusals += self._share(inventory, fresh)
        self._refuse(refusals)
        known = tuple(one.tombstone for one in standing)
        new = tuple(self._tombstones(terms.component, fresh, now))
        if self.options.dry_run:
            return PruneResult(terms.component, inventory, decided, new, known, refusals=tuple(refusals))
        deletion = Deletion(self._means(stones), inventory, decided.going, max(self.options.allow_share, 0.0))
        deletion.run(standing, now)
        for tombstone in new:
            stones.decide(tombstone)
        stones.keep_record(self._record(terms, now, inventory, new, deletion))
        left = tuple(one for one in known if one.id not in deletion.settled)
        return PruneResult(
            terms.component,
            inventory,
            decided,
            new,
            left,
            frozenset(deletion.deleted),
            frozenset(deletion.gone),
            deletion.spared,
            unsettled=tuple(deletion.unsettled),
        )

    # --- refusals

    def _refuse(self, refusals: Sequence[DrError]) -> None:
        if refusals and not self.options.dry_run:
            raise refusals[0]

    def _frozen(self) -> Iterator[DrError]:
        try:
            require_not_frozen(self.control)
        except DrError as error:
            if error.kind is not FROZEN:
                raise
            yield error

    def _clocks(self, now: datetime, last: PruneRecord | None) -> Iterator[DrError]:
        for store in (self.vault, self.control):
            if words := skewed(now, store.server_time(), last.at if last else None):
                hint = "mend the clock, then run it again"
                yield DrError(CLOCK_SKEW, f"nothing of {self.vault.url} is pruned: {words}", hint=hint)
                return

    def _listing(
        self, inventory: Inventory, stones: Tombstones, standing: Sequence[Standing], last: PruneRecord | None
    ) -> Iterator[DrError]:
        if not inventory.manifests:
            yield DrError(
                LISTING_SHRANK, f"nothing of {self.vault.url} is pruned: {EMPTY}", hint="`dr check` looks at it"
            )
        if last is None or self.options.accept_shrunk:
            return
        explained = _explained(inventory, standing, stones.ended_since(last.at))
        if words := shrunk(_counts(_settled(inventory, last.at)), last, explained):
            hint = "`dr points prune --accept-shrunk` takes the listing as it is, once you know why"
            yield DrError(LISTING_SHRANK, f"nothing of {self.vault.url} is pruned: {words}", hint=hint)

    def _share(self, inventory: Inventory, fresh: Sequence[Condemned]) -> Iterator[DrError]:
        share = share_of(summaries_of(inventory, fresh), inventory.summaries.values())
        if words := too_much(share, self.options.allow_share):
            hint = f"if that is right: dr points prune --allow-share {share_percent(share)}"
            yield DrError(TOO_MUCH_AT_ONCE, f"nothing of {self.vault.url} is pruned: {words}", hint=hint)

    # --- tombstones

    def _tombstones(self, component: str, going: Sequence[Condemned], now: datetime) -> Iterator[Tombstone]:
        run = f"{compact_instant(now)}-{secrets.token_hex(4)}"
        for number, targets in enumerate(_batches(going), 1):
            yield Tombstone(
                id=f"{run}-{number:03d}",
                component=component,
                vault=self.vault.url,
                decided=now,
                due=now + self.options.grace,
                by=self.by,
                share=self.options.allow_share,
                targets=tuple(targets),
            )

    def _means(self, stones: Tombstones) -> Means:
        return Means(self.control, self.vault, stones, self.clock, self.by)

    def _record(
        self, terms: Terms, now: datetime, inventory: Inventory, new: Sequence[Tombstone], deletion: Deletion
    ) -> PruneRecord:
        left = [name for name in _settled(inventory, now) if name not in deletion.gone]
        condemned = sum(len(tombstone.targets) for tombstone in new)
        counts = (condemned, len(deletion.deleted), len(deletion.spared))
        return PruneRecord(terms.component, now, self.by, _counts(left), *counts)


def _fresh(decided: Decided, standing: Sequence[Standing]) -> list[Condemned]:
    """What no tombstone that stands names already."""
    named = {entry.name for one in standing for target in one.tombstone.targets for entry in target.objects}
    left = ((target, [entry for entry in target.objects if entry.name not in named]) for target in decided.going)
    # segments are condemned in runs, which grow from day to day; everything else whole or not at all
    return [
        segments_of(objects, target.reason) if target.what is Remains.SEGMENTS else target
        for target, objects in left
        if objects and (target.what is Remains.SEGMENTS or len(objects) == len(target.objects))
    ]


def _batches(going: Sequence[Condemned]) -> Iterator[list[Condemned]]:
    """In order, each of a size that is read at once."""
    batch: list[Condemned] = []
    size = 0
    for target in going:
        if batch and size + len(target.objects) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(target)
        size += len(target.objects)
    if batch:
        yield batch


def _counts(names: Iterable[str]) -> dict[str, dict[str, int]]:
    return counts_of((str(slot.source), slot.due) for name in names if (slot := point_slot(name)))


def _settled(inventory: Inventory, at: datetime) -> list[str]:
    """Manifests that a prune at `at` surely had in its listing, by the store's own clock: so no new point hides a lost one."""
    return [info.name for info in inventory.manifests.values() if info.created <= at - SKEW]


def _explained(
    inventory: Inventory, standing: Sequence[Standing], ended: Sequence[PruneEnded]
) -> dict[str, dict[str, int]]:
    """Points that earlier prunes deleted without living to record it."""
    begun = [
        target.name for one in standing if one.begun for target in one.tombstone.targets if target.what is Remains.POINT
    ]
    names = {*begun, *(name for end in ended for name in end.deleted)}
    return _counts(name for name in names if name not in inventory.manifests)
