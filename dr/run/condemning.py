"""From an inventory to what may go: the facts are gathered, the decisions are those of `dr.plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dr.model.ids import SourceId
from dr.model.points import PointManifest
from dr.model.retention import Condemned, HoldRecord, Remains, StoredObject
from dr.plan.leftovers import (
    LONG_AGO,
    Attempt,
    Fate,
    Pack,
    RunFacts,
    Segment,
    decide_attempt,
    decide_quarantine,
    decide_segments,
)
from dr.plan.modes import MODES
from dr.plan.retain import Decision, Facts, Rule, decide
from dr.ports import ObjectInfo
from dr.record.journal import Journal
from dr.record.summary import retained_long_enough
from dr.run.inventory import Inventory, loose, newest_created, segment_seq

CHUNK = 1000
"""Segments condemned as one thing."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the table and people say."""

    component: str
    rules: Mapping[SourceId, Rule]
    retention: timedelta | None
    """Of the component's row."""
    holds: Mapping[str, Sequence[HoldRecord]]
    proven: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decided:
    """Every decision, and what may go with all its objects."""

    points: tuple[Decision, ...]
    others: tuple[tuple[Remains, Fate], ...]
    going: tuple[Condemned, ...]


def decide_all(inventory: Inventory, terms: Terms, journal: Journal, now: datetime) -> Decided:
    """Reads the manifests of whatever may go. Raises DrError UNREACHABLE."""
    segments, pinned = _segments(inventory, now)
    points = _points(inventory, terms, pinned, now)
    others = [
        *((Remains.SEGMENTS, fate) for fate in segments),
        *((Remains.ATTEMPT, fate) for fate in _attempts(inventory, journal, now)),
        *((Remains.QUARANTINE, decide_quarantine(loose(o), terms.retention, now)) for o in inventory.quarantine),
    ]
    going = (*_going_points(inventory, points), *_going_others(inventory, others))
    return Decided(points, tuple(others), going)


# --- points ----------------------------------------------------------------------------------------------------------


def _points(inventory: Inventory, terms: Terms, pinned: Mapping[str, str], now: datetime) -> tuple[Decision, ...]:
    """Decided from the listing; what may go is read, and decided again from what it says itself, until nothing is new."""
    flaws: dict[str, str] = {}
    while True:
        known, unreadable = inventory.known(), tuple(inventory.unreadable.values())
        facts = Facts(known, terms.rules, terms.holds, terms.proven, {**pinned, **flaws}, unreadable)
        decisions = decide(facts, now)
        going = [decision.name for decision in decisions if not decision.keep]
        news = inventory.read_all(going)
        found = {name: flaw for name in going if name in inventory.read and (flaw := _flaw(inventory, name))}
        flaws |= found
        if not news and not found:
            return decisions


def _flaw(inventory: Inventory, name: str) -> str:
    """Whoever deletes a point must find it as its manifest says, or look at it first."""
    manifest = inventory.read[name].manifest
    listed = {info.name: info.generation for info in inventory.objects_of(name)}
    for artefact in manifest.artefacts:
        if artefact.name.startswith(f"data/{manifest.slot.id}/") and listed.get(artefact.name) != artefact.generation:
            return f"{artefact.name} is not listed as the manifest says"
    return ""


def _going_points(inventory: Inventory, decisions: Sequence[Decision]) -> Iterator[Condemned]:
    """Newest first: what needs another goes before it."""
    going = [decision for decision in decisions if not decision.keep]
    going.sort(key=lambda decision: inventory.summaries[decision.name].committed, reverse=True)
    for decision in going:
        reason = "; ".join(map(str, decision.reasons))
        yield Condemned(Remains.POINT, decision.name, _pins(inventory.objects_of(decision.name)), reason)


def _pins(objects: Sequence[ObjectInfo]) -> tuple[StoredObject, ...]:
    return tuple(StoredObject(info.name, info.generation, info.size) for info in objects)


# --- change logs -----------------------------------------------------------------------------------------------------


def _segments(inventory: Inventory, now: datetime) -> tuple[list[Fate], dict[str, str]]:
    """Fates of all segments, and packs that must stay until theirs are gone."""
    fates: list[Fate] = []
    pinned: dict[str, str] = {}
    for folder, objects in inventory.segments.items():
        segments = [Segment(loose(info), segment_seq(info), info.metadata.get("dr-sha256", "")) for info in objects]
        packs = _packs(inventory, folder.removeprefix("log/"), segments[0].seq)
        fates += decide_segments(segments, packs, now)
        numbers = [segment.seq for segment in segments]
        for pack in packs:
            held = sum(pack.first_seq <= seq <= pack.last_seq for seq in numbers)
            if held:
                pinned[pack.name] = f"{held} segments that it holds are still in the log"
    return fates, pinned


def _packs(inventory: Inventory, name: str, oldest: int) -> list[Pack]:
    """Newest first, down to the one that holds segment `oldest`."""
    packs = []
    for manifest in _pack_manifests(inventory, name):
        pack = _pack(inventory, manifest)
        packs.append(pack)
        if 0 < pack.last_seq < oldest:
            break
    return packs


def _pack_manifests(inventory: Inventory, name: str) -> Iterator[PointManifest]:
    methods = {mode.point for mode in MODES.values() if mode.log}
    summaries = sorted(inventory.summaries.values(), key=lambda point: point.slot.due, reverse=True)
    for summary in summaries:
        source = summary.slot.source
        if summary.method in methods and f"{source.kind}.{source.name}" == name:
            manifest = inventory.manifest(summary.name)
            if manifest is not None:
                yield manifest


def _pack(inventory: Inventory, manifest: PointManifest) -> Pack:
    first, last = manifest.details.get("first_seq"), manifest.details.get("last_seq")
    if not isinstance(first, int) or not isinstance(last, int):
        return Pack(manifest.name, 0, 0, flaw="its manifest does not say which segments it holds")
    return Pack(
        manifest.name, first, last, str(manifest.details.get("last_sha256", "")), _pack_flaw(inventory, manifest)
    )


def _pack_flaw(inventory: Inventory, manifest: PointManifest) -> str:
    """Committed means verified; every object must still be there as it was, and locked for the full time."""
    listed = {info.name: info for info in inventory.objects_of(manifest.name)}
    if not retained_long_enough(listed[manifest.name], manifest):
        return "its manifest is not locked for the full time"
    for artefact in manifest.artefacts:
        info = listed.get(artefact.name)
        if info is None or (info.generation, info.size, info.crc32c) != (
            artefact.generation,
            artefact.size,
            artefact.crc32c,
        ):
            return f"{artefact.name} is not as the manifest says"
        if not retained_long_enough(info, manifest):
            return f"{artefact.name} is not locked for the full time"
    return ""


# --- dead runs, quarantine -------------------------------------------------------------------------------------------


def _attempts(inventory: Inventory, journal: Journal, now: datetime) -> Iterator[Fate]:
    """Of what no manifest refers to, and is old enough to ask about."""
    committed = {slot.id: name for name, slot in inventory.slots.items()}
    for unit, attempts in inventory.data.items():
        name = committed.get(unit)
        if name is not None and len(attempts) == 1:
            continue
        referred = _referred(inventory, name, tuple(attempts))
        for prefix, objects in attempts.items():
            if prefix not in referred and newest_created(objects) + LONG_AGO <= now:
                run = _run(journal, unit, committed=name is not None)
                yield decide_attempt(Attempt(prefix, [loose(info) for info in objects], run, referred=False), now)


def _referred(inventory: Inventory, name: str | None, prefixes: Sequence[str]) -> frozenset[str]:
    """Attempts that the slot's manifest refers to; all, when it cannot be read."""
    if name is None:
        return frozenset()
    manifest = inventory.manifest(name)
    if manifest is None:
        return frozenset(prefixes)
    return frozenset(p for p in prefixes if any(a.name.startswith(p) for a in manifest.artefacts))


def _run(journal: Journal, slot: str, *, committed: bool) -> RunFacts:
    """By what the journal holds; that a process is known to be dead does not say since when."""
    facts = replace(journal, dead=lambda *_: False).read(slot)
    if facts.newest is None:
        return RunFacts(known=False)
    state = str(facts.record.state)
    if facts.ended is None:
        return RunFacts(True, facts.newest.expires, "it fell silent")
    if state == "committed" and not committed:
        # its manifest should be listed, and is not: not ours to tidy up
        return RunFacts(known=False)
    return RunFacts(True, facts.ended.at.wall, state)


def _going_others(inventory: Inventory, others: Sequence[tuple[Remains, Fate]]) -> Iterator[Condemned]:
    going = [(what, fate) for what, fate in others if not fate.keep]
    attempts = {prefix: objects for found in inventory.data.values() for prefix, objects in found.items()}
    loose_ones = {info.name: info for info in inventory.quarantine}
    for what, fate in going:
        if what is Remains.ATTEMPT:
            yield Condemned(what, fate.name, _pins(attempts[fate.name]), fate.reason)
        elif what is Remains.QUARANTINE:
            yield Condemned(what, fate.name, _pins([loose_ones[fate.name]]), fate.reason)
    names = {fate.name: fate.reason for what, fate in going if what is Remains.SEGMENTS}
    for objects in inventory.segments.values():
        chosen = [info for info in objects if info.name in names]
        for start in range(0, len(chosen), CHUNK):
            part = _pins(chosen[start : start + CHUNK])
            yield segments_of(part, names[part[0].name])


def segments_of(objects: Sequence[StoredObject], reason: str) -> Condemned:
    """A run of them, named by its first and last."""
    first, last = objects[0].name.removesuffix(".zst"), objects[-1].name.removesuffix(".zst")
    return Condemned(Remains.SEGMENTS, f"{first}-{last.rpartition('/')[2]}", tuple(objects), reason)
