"""The reaper: removes what a dead drill left, by what its own journal says it made; and what is labelled as expired when no
journal knows it. Nothing without an expiry, nothing of somebody who lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dr.errors import LOCKED, NOT_FOUND, DrError
from dr.model.evidence import DrillReport
from dr.model.plans import PlannedRestore, RestorePlan
from dr.model.points import Check
from dr.model.reaping import Reaped, Sandbox
from dr.model.runs import RunState
from dr.plan.reaping import spared
from dr.ports import Clock, Json, ObjectInfo, RestoreWork
from dr.record.codec import decode, encode
from dr.record.hold import Hold
from dr.record.journal import Journal
from dr.run.restore import RestoreItem, siblings
from dr.run.runner import ending

REAPED = "reaped.json"
HORIZON = timedelta(days=90)
"""Plans that began longer ago are not looked at any more: each look reads their reports."""
Sweep = Callable[[datetime, Callable[[str], Mapping[str, str] | None]], Iterator[Check]]
"""(now, what the journal of a labelled plan made: namespace -> uid) -> what was removed or left, by its labels."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of one plan's leftovers, or of what only labels tell (`unit` empty)."""

    unit: str
    checks: tuple[Check, ...]

    @property
    def clean(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class Reaper:
    """`journals`: of drills and of whatever else restores into sandboxes. `items` opens one item of a plan."""

    journals: Sequence[Journal]
    items: Callable[[RestorePlan], Sequence[RestoreItem]]
    sweeps: Sequence[Sweep]
    clock: Clock
    by: str
    label: Callable[[str], str] = field(default=lambda unit: unit)
    """A plan's id as it stands in a label."""

    def run(self, named: str = "") -> Iterator[Swept]:
        """Each plan that was reaped; with `named` that one only, expired or not. Raises DrError NOT_FOUND, and LOCKED when
        somebody works on the named one."""
        now, known = self.clock.now(), False
        for journal in self.journals:
            for unit, objects in self._units(journal, now):
                if named and unit.split(".")[0] != named:
                    continue
                known = True
                why = spared(self._sandbox(journal, unit, objects), now, named=bool(named))
                if not why:
                    yield self._reap(journal, unit)
                elif named and "works on it" in why:
                    raise DrError(LOCKED, f"{unit} is left alone: {why}")
        if named and not known:
            raise DrError(NOT_FOUND, f"no drill {named!r} restored anything", hint="`dr drill list` lists them")
        if not named:
            yield from self._by_labels(now)

    def _units(self, journal: Journal, now: datetime) -> Iterator[tuple[str, list[ObjectInfo]]]:
        """Those that have a plan: before that nothing is made."""
        groups: dict[str, list[ObjectInfo]] = {}
        for info in journal.store.list(f"{journal.base}/"):
            parts = info.name.split("/")
            if len(parts) > 2:
                groups.setdefault(parts[1], []).append(info)
        for unit, objects in groups.items():
            plan = _named(objects, f"{journal.base}/{unit}/plan.json")
            if plan and plan.created > now - HORIZON:
                yield unit, objects

    def _sandbox(self, journal: Journal, unit: str, objects: Sequence[ObjectInfo]) -> Sandbox:
        plan = _named(objects, f"{journal.base}/{unit}/plan.json")
        assert plan is not None
        if _named(objects, f"{journal.base}/{unit}/{REAPED}") or self._clean(journal, unit):
            return Sandbox(unit, plan.created, torn_down=True)
        facts = journal.read(unit)
        alive = facts.newest.expires if facts.newest and facts.ended is None else None
        # of an owner who is certainly dead the journal says that he lived until it was read
        lives = alive if alive and alive > self.clock.now() else None
        return Sandbox(unit, plan.created, torn_down=False, alive_until=lives)

    def _clean(self, journal: Journal, unit: str) -> bool:
        """By the report of the drill that the plan belongs to."""
        name = f"{journal.base}/{unit.split('.')[0]}/report.json"
        if journal.base != "drills" or journal.store.stat(name) is None:
            return False
        report = decode(journal.store.get(name), DrillReport, f"{journal.store.url}/{name}")
        return all(check.passed for check in report.teardown)

    # --- by the journal

    def _reap(self, journal: Journal, unit: str) -> Swept:
        name = f"{journal.base}/{unit}/plan.json"
        plan = decode(journal.store.get(name), RestorePlan, f"{journal.store.url}/{name}")
        hold = journal.claim(unit)  # whoever was thought dead and comes back is fenced
        with ending(hold):
            swept = Swept(unit, tuple(check for item in plan.items for check in self._torn_down(plan, item, hold)))
            if swept.clean:
                deleted = tuple(check.name for check in swept.checks)
                body = Reaped(unit, self.clock.now(), self.by, deleted)
                journal.store.put(f"{journal.base}/{unit}/{REAPED}", encode(body))
            hold.end(RunState.ABANDONED, "reaped" if swept.clean else "reaped in part; the next reaper goes on")
        return swept

    def _torn_down(self, plan: RestorePlan, planned: PlannedRestore, hold: Hold) -> tuple[Check, ...]:
        """An item that cannot be opened any more (its point is gone) keeps nothing of the others from going."""
        if not planned.target.isolated:
            return ()
        try:
            (item,) = self.items(replace(plan, items=(planned,)))
            work = RestoreWork(plan.id, planned, item.manifest, item.vault, siblings(plan, item))
            return item.restorer.teardown(work, _outcomes(hold, item.key))
        except DrError as error:
            return (Check(f"teardown of {planned.key}", False, error.message),)

    # --- by labels

    def _by_labels(self, now: datetime) -> Iterator[Swept]:
        for sweep in self.sweeps:
            checks = tuple(sweep(now, self._journalled))
            if checks:
                yield Swept("", checks)

    def _journalled(self, label: str) -> Mapping[str, str] | None:
        """Namespaces that the labelled plan's journal says it made, with their uids; None: no journal knows it."""
        for journal in self.journals:
            for unit in journal.units():
                if self.label(unit) == label:
                    outcomes = journal.read(unit).record.outcomes
                    return {name: uid for one in outcomes for name, uid in _spaces(one.data)}
        return None


def _outcomes(hold: Hold, key: str) -> Mapping[str, Json]:
    prefix = f"{key}."
    return {step.removeprefix(prefix): done.data for step, done in hold.outcomes.items() if step.startswith(prefix)}


def _spaces(data: Json) -> Iterator[tuple[str, str]]:
    listed = data.get("namespaces")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and "uid" in one:
            yield str(one["name"]), str(one["uid"])


def _named(objects: Sequence[ObjectInfo], name: str) -> ObjectInfo | None:
    return next((info for info in objects if info.name == name), None)
