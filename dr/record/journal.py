"""The run journal in the control repository: claims, step outcomes, ends. It is the truth about what was done.

Everything is create-only, because the identity that captures may not delete, and replacing is deleting. So a claim is
renewed by small objects whose *names* say until when the owner lives, and taking over is creating the next epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from dr.errors import CONFLICT, LOCKED, DrError
from dr.model.ids import SourceId
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, StepOutcome
from dr.model.timeline import compact_instant, format_instant, parse_compact
from dr.ports import Clock, ObjectInfo, ObjectStore
from dr.record.codec import decode, encode
from dr.record.hold import Hold
from dr.record.layout import UnitLayout
from dr.record.owner import describe, is_dead, new_owner

T = TypeVar("T")
LEASE = timedelta(minutes=5)
"""A claim without a sign of life for this long may be taken over."""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A unit as the journal has it. The newest claim's `expires` is until when its owner is taken to live *now*: with
    its signs of life counted, and past if the owner is certainly dead."""

    record: RunRecord

    @property
    def newest(self) -> Claim | None:
        return self.record.claims[-1] if self.record.claims else None

    @property
    def ended(self) -> RunEnd | None:
        """Of the newest epoch."""
        newest = self.newest
        return next((end for end in self.record.ends if newest and end.epoch == newest.epoch), None)


@dataclass(frozen=True, slots=True)
class Journal:
    """One of the journals of a control repository: `runs`, `restores` or `drills`.

    `continues`: an attempt goes on after a failure too (a restore is resumed); else a failure ends the attempt.
    """

    store: ObjectStore
    clock: Clock
    base: str = "runs"
    lease: timedelta = LEASE
    continues: bool = False
    dead: Callable[[str, str], bool] = field(default=is_dead)
    """(owner, our boot id) -> the owner is certainly gone."""

    def read(self, unit: str) -> UnitFacts:
        """All that is known of a unit. Raises DrError DAMAGED, NEWER_FORMAT, UNREACHABLE."""
        layout = UnitLayout(self.base, unit)
        return self._facts(unit, layout, tuple(self.store.list(layout.root)))

    def history(self, source: SourceId, since: datetime) -> tuple[UnitFacts, ...]:
        """Units of a source that were due at or after `since`, oldest first: what the planner decides from.

        Steps are read only of units that are still being worked on, because this is asked often."""
        groups = self._since(source, since)
        with ThreadPoolExecutor(8, thread_name_prefix="journal") as pool:
            return tuple(pool.map(lambda unit: self._brief(unit, groups[unit]), groups))

    def unended(self, source: SourceId, since: datetime) -> tuple[UnitFacts, ...]:
        """Of those units the ones whose newest epoch has no end: one listing, and only they are read."""
        groups = self._since(source, since)
        left = [unit for unit, objects in groups.items() if not _ended(UnitLayout(self.base, unit), objects)]
        return tuple(self._facts(unit, UnitLayout(self.base, unit), groups[unit]) for unit in left)

    def _since(self, source: SourceId, since: datetime) -> dict[str, list[ObjectInfo]]:
        prefix = f"{self.base}/{source.slug}@"
        groups: dict[str, list[ObjectInfo]] = {}
        for info in self.store.list(prefix, start_after=prefix + compact_instant(since).removesuffix("Z")):
            groups.setdefault(info.name.split("/")[1], []).append(info)
        return groups

    def _brief(self, unit: str, objects: Sequence[ObjectInfo]) -> UnitFacts:
        layout = UnitLayout(self.base, unit)
        ended = _ended(layout, objects)
        return self._facts(unit, layout, [info for info in objects if not (ended and layout.is_step(info.name))])

    def units(self, *, start_after: str = "") -> Iterator[str]:
        """Every unit that was ever claimed, in name order."""
        last = ""
        for info in self.store.list(f"{self.base}/", start_after=start_after and f"{self.base}/{start_after}"):
            unit = info.name.split("/")[1]
            if unit != last:
                yield unit
            last = unit

    def claim(self, unit: str, facts: UnitFacts | None = None) -> Hold:
        """The right to work on `unit`: a new one, or taken over from an owner that failed, parked, died or fell silent.

        `facts`: as just read. Raises DrError LOCKED while another owner lives.
        """
        facts = facts or self.read(unit)
        newest = facts.newest
        if newest is not None and facts.ended is None:
            self._require_silent(newest)
            self._end_abandoned(unit, newest)
        epoch = newest.epoch + 1 if newest else 1
        stamp = self.clock.stamp()
        claim = Claim(unit, epoch, new_owner(stamp.boot_id), stamp, stamp.wall + self.lease)
        try:
            self.store.put(UnitLayout(self.base, unit).claim(epoch), encode(claim))
        except DrError as error:
            if error.kind is CONFLICT:
                raise DrError(LOCKED, f"{unit} was claimed by another run at this moment") from error
            raise
        return self._hold(claim, facts.record)

    def _hold(self, claim: Claim, past: RunRecord) -> Hold:
        attempt = 1 if self.continues else first_epoch(past.ends, claim.epoch)
        outcomes = {outcome.step: outcome for outcome in past.outcomes if outcome.epoch >= attempt}
        first = next((old for old in past.claims if old.epoch == attempt), claim)
        return Hold(
            store=self.store,
            clock=self.clock,
            layout=UnitLayout(self.base, claim.unit),
            claim=claim,
            attempt=attempt,
            begun=first.taken.wall,
            lease=self.lease,
            past=outcomes,
        )

    def _require_silent(self, newest: Claim) -> None:
        if newest.expires > self.clock.now():
            until, who = format_instant(newest.expires), describe(newest.owner)
            raise DrError(LOCKED, f"{newest.unit} is being worked on by {who}, at least until {until}")

    def _end_abandoned(self, unit: str, old: Claim) -> None:
        message = "its owner died or fell silent; the next epoch continues"
        end = RunEnd(unit, old.epoch, RunState.ABANDONED, self.clock.stamp(), message)
        try:
            self.store.put(UnitLayout(self.base, unit).end(old.epoch), encode(end))
        except DrError as error:
            # it ended itself, or another taker was quicker: the claim of the next epoch decides
            if error.kind is not CONFLICT:
                raise

    def _facts(self, unit: str, layout: UnitLayout, objects: Sequence[ObjectInfo]) -> UnitFacts:
        names = [info.name for info in objects]
        claims = tuple(self._get(name, Claim) for name in names if layout.claimed_epoch(name) is not None)
        outcomes = tuple(self._get(name, StepOutcome) for name in names if layout.is_step(name))
        ends = tuple(self._get(name, RunEnd) for name in names if layout.is_end(name))
        signs = [sign for sign in map(layout.alive_until, names) if sign]
        ordered = tuple(sorted(outcomes, key=lambda outcome: (outcome.epoch, outcome.index)))
        return UnitFacts(RunRecord(unit, self._living(claims, ordered, signs), ordered, ends))

    def _living(
        self, claims: Sequence[Claim], outcomes: Sequence[StepOutcome], signs: Sequence[tuple[int, str]]
    ) -> tuple[Claim, ...]:
        if not claims:
            return ()
        *older, newest = sorted(claims, key=lambda claim: claim.epoch)
        stamp = self.clock.stamp()
        expires = expiry(newest, outcomes, signs, self.lease)
        # nobody needs to wait for a process that is known to be gone; and no lease reaches so far ahead, so such a one was
        # written by a clock that was wrong: taking over is safe, because the epoch fences
        impossible = expires > stamp.wall + 2 * max(self.lease, LEASE)
        dead = impossible or (expires > stamp.wall and self.dead(newest.owner, stamp.boot_id))
        return (*older, replace(newest, expires=stamp.wall if dead else expires))

    def _get(self, name: str, kind: type[T]) -> T:
        return decode(self.store.get(name), kind, f"{self.store.url}/{name}")


def _ended(layout: UnitLayout, objects: Sequence[ObjectInfo]) -> bool:
    """Whether the newest epoch has an end, by the names alone."""
    names = {info.name for info in objects}
    newest = max((layout.claimed_epoch(name) or 0 for name in names), default=0)
    return layout.end(newest) in names


def first_epoch(ends: Sequence[RunEnd], newest: int) -> int:
    """Where the attempt of epoch `newest` began: after the last epoch that failed."""
    failed = [end.epoch for end in ends if end.state is RunState.FAILED and end.epoch < newest]
    return max(failed, default=0) + 1


def expiry(
    newest: Claim, outcomes: Sequence[StepOutcome], signs: Sequence[tuple[int, str]], lease: timedelta
) -> datetime:
    """Until when the newest owner is taken to live: by its claim, its signs of life and what it journalled."""
    told = [newest.expires]
    told += [parse_compact(until) for epoch, until in signs if epoch == newest.epoch]
    told += [outcome.ended.wall + lease for outcome in outcomes if outcome.epoch == newest.epoch]
    return max(told)
