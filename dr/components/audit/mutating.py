"""Faults for copies of an audit log: entries that say something else, or nothing any more, under a chain that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, cast

from dr.changelog.mutating import Line, Log, Segment, closed_up, dropped, exchanged, keys_of
from dr.components.audit.entry import QUARANTINE
from dr.components.planting import Forgery, Subject, Unsuitable
from dr.model.evidence import Verdict
from dr.model.mutations import Edit
from dr.model.timeline import format_instant, parse_instant

LOST = (Verdict.MISSED, Verdict.FAILED)
"""An entry that never was looks, to whoever reads the vault, like one that never arrived: it is counted as lost, by name."""


def parts(subject: Subject) -> Mapping[str, str]:
    """The newest pack's changes, and a segment behind it."""
    log = Log.read(subject.vault, subject.spec.id)
    found = {"audit-pack/changes": log.last_pack.name} if log.last_pack else {}
    loose = [segment for segment in log.loose if segment.lines]
    return found | ({"log/segment": loose[len(loose) // 2].unit.name} if loose else {})


def forgeries(subject: Subject) -> Sequence[Forgery]:
    return (
        Forgery("who-changed", "one entry names another person, the chain was computed anew", _who),
        Forgery("refused-changed", "one entry has another severity, the chain was computed anew", _severity),
        Forgery("entry-dropped", "one entry is gone, the chain was computed anew", _entry_dropped),
        Forgery("entries-swapped", "two entries have each other's content, the chain was computed anew", _swapped),
        Forgery("backdated", "one entry happened an hour earlier, the chain was computed anew", _backdated),
        Forgery("pack-changed", "one entry of a packed day says another thing, and its manifest fits", _packed),
        Forgery("segment-closed-up", "a segment never was: those after it are numbered and chained anew", _closed),
        Forgery("tail-dropped", "the log ends earlier than it did", _tail),
        _unforged("segment-dropped", "a segment is gone", _dropped),
        _unforged("segments-reordered", "two segments stand under each other's name", _exchanged),
    )


def _unforged(name: str, what: str, plant: Any) -> Forgery:
    return Forgery(name, what, plant, forged=False, follows=False)


def _log(subject: Subject) -> Log:
    return Log.read(subject.vault, subject.spec.id)


def _places(segments: Sequence[Segment]) -> list[tuple[Segment, int]]:
    """Entries; each once, where it came first."""
    found = {
        str(segment.lines[at]["key"]): (segment, at)
        for segment, at in reversed(list(keys_of(segments, lambda line: not _poison(line))))
    }
    if len(found) < 2:
        raise Unsuitable("the log holds fewer than two entries")
    return list(found.values())


def _newest(log: Log) -> list[Segment]:
    """The newest pack and what came after: faults are planted in the newest points."""
    return log.since(log.last_pack)


def _poison(line: Line) -> bool:
    return str(line["key"]).startswith(QUARANTINE)


def _entry(line: Line) -> dict[str, Any]:
    return cast(dict[str, Any], cast(dict[str, Any], line["data"])["entry"])


def _who(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    segment, at = rng.choice(_places(_newest(log)))
    entry = _entry(segment.lines[at])
    entry.setdefault("protoPayload", {})["authenticationInfo"] = {"principalEmail": "nobody@energent.example"}
    return log.forged([str(segment.lines[at]["key"])])


def _severity(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    segment, at = rng.choice(_places(_newest(log)))
    entry = _entry(segment.lines[at])
    entry["severity"] = "DEBUG" if entry.get("severity") != "DEBUG" else "INFO"
    return log.forged([str(segment.lines[at]["key"])])


def _entry_dropped(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    segment, at = rng.choice(_places(_newest(log)))
    key = str(segment.lines[at]["key"])
    for one in log.segments:
        one.lines[:] = [line for line in one.lines if line["key"] != key]
    return replace(log.forged([key]), expected=LOST)


def _swapped(subject: Subject, rng: Random) -> Edit:
    """Under its own identity each has what the other did."""
    log = _log(subject)
    (one, at), (other, there) = rng.sample(_places(_newest(log)), 2)
    first, second = _entry(one.lines[at]), _entry(other.lines[there])
    if first.get("protoPayload") == second.get("protoPayload"):
        raise Unsuitable("both entries have the same content")
    first["protoPayload"], second["protoPayload"] = second.get("protoPayload"), first.get("protoPayload")
    return log.forged([str(one.lines[at]["key"]), str(other.lines[there]["key"])])


def _backdated(subject: Subject, rng: Random) -> Edit:
    """Its identity carries its time: what is missed is the entry that was."""
    log = _log(subject)
    segment, at = rng.choice(_places(_newest(log)))
    line, entry = segment.lines[at], _entry(segment.lines[at])
    was = str(line["key"])
    for one in log.segments:
        one.lines[:] = [other for other in one.lines if other is line or other["key"] != was]
    earlier = format_instant(parse_instant(str(entry["timestamp"])) - timedelta(hours=1))
    entry["timestamp"] = earlier
    line["at"], line["key"] = earlier, f"{earlier}|{was.split('|', 1)[1]}"
    return replace(log.forged([was]), expected=LOST)


def _packed(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    pack = log.last_pack
    if pack is None:
        raise Unsuitable("the log has no pack yet")
    segment, at = rng.choice(_places([one for one in log.segments if one.unit.name == pack.name]))
    _entry(segment.lines[at])["severity"] = "EMERGENCY"
    return log.forged([str(segment.lines[at]["key"])])


def _loose(log: Log, least: int) -> list[Segment]:
    """Segments behind the last pack that hold entries, but the last ones: a hole has something behind it."""
    found = [segment for segment in log.loose[:-1] if segment.lines]
    if len(found) < least:
        raise Unsuitable(f"fewer than {least} segments with entries lie behind the last pack")
    return found


def _closed(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    gone = rng.choice(_loose(log, 1))
    elsewhere = {str(line["key"]) for one in log.segments if one is not gone for line in one.lines}
    hit = [str(line["key"]) for line in gone.lines if str(line["key"]) not in elsewhere]
    if not hit:
        raise Unsuitable("every entry of that segment is in another one too")
    return replace(closed_up(log, gone, hit), expected=LOST)


def _dropped(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    return dropped(log, rng.choice(_loose(log, 1)))


def _exchanged(subject: Subject, rng: Random) -> Edit:
    log = _log(subject)
    one, other = rng.sample(_loose(log, 2), 2)
    return exchanged(log, one, other)


def _tail(subject: Subject, rng: Random) -> Edit:
    """Nothing in the vault can tell that more was there: only the writes that are missing do, as a loss."""
    log = _log(subject)
    with_entries = [one for one in log.loose if any(not _poison(line) for line in one.lines)]
    if not with_entries:
        raise Unsuitable("no entry lies behind the last pack")
    first = with_entries[-1].head.seq
    files: dict[str, bytes | None] = {one.unit.name: None for one in log.loose if one.head.seq >= first}
    behind = {str(line["key"]) for one in log.loose if one.head.seq >= first for line in one.lines if not _poison(line)}
    before = {str(line["key"]) for one in log.segments if one.head.seq < first for line in one.lines}
    if behind <= before:
        raise Unsuitable("the end of the log says nothing new")
    return Edit(files, tuple(sorted(behind - before)), expected=LOST)
