"""Which faults a campaign tries, what they do to bytes, and whether a drill caught one. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.mutations import Edit, Fault


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _zeroed(data: bytes) -> bytes:
    """A sector that a disk lost: a quarter of it in the middle, at most 512 bytes."""
    size = max(1, min(512, len(data) // 4))
    start = (len(data) - size) // 2
    return data[:start] + bytes(size) + data[start + size :]


SPOILS: Mapping[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "flip-first": ("the first byte has one bit flipped", lambda data: _flipped(data, 0)),
    "flip-middle": ("the middle byte has one bit flipped", lambda data: _flipped(data, len(data) // 2)),
    "flip-last": ("the last byte has one bit flipped", lambda data: _flipped(data, len(data) - 1)),
    "truncate": ("the second half is gone", lambda data: data[: len(data) // 2]),
    "cut-one": ("the last byte is gone", lambda data: data[:-1]),
    "append": ("one byte follows its end", lambda data: data + b"\n"),
    "empty": ("it has no byte left", lambda _: b""),
    "zero": ("a sector of it reads as zeros", _zeroed),
    "drop": ("it is gone", lambda _: None),
}
"""What happens to one stored object while nothing else follows: only its sums tell."""


def byte_faults(component: str, roles: Sequence[str]) -> tuple[Fault, ...]:
    """Every spoil of one object of each role."""
    return tuple(
        Fault(component, f"{how}.{role.rpartition('/')[2]}", f"{role}: {what}")
        for role in roles
        for how, (what, _) in SPOILS.items()
    )


def spoilt(fault: str, data: bytes) -> bytes | None:
    """The bytes after the fault of that name. Raises KeyError for one that is not of `SPOILS`."""
    return SPOILS[fault.partition(".")[0]][1](data)


def is_byte_fault(fault: Fault) -> bool:
    return fault.name.partition(".")[0] in SPOILS and "." in fault.name


def chosen_faults(faults: Sequence[Fault], count: int | None, seed: int) -> tuple[Fault, ...]:
    """`count` of them, spread over the components as evenly as they last, forged ones first among equals: those are the hard
    ones. The same seed gives the same choice."""
    rng = random.Random(seed)
    shelves: dict[str, list[Fault]] = {}
    for fault in sorted(faults):
        shelves.setdefault(fault.component, []).append(fault)
    for shelf in shelves.values():
        rng.shuffle(shelf)
        shelf.sort(key=lambda fault: not fault.forged)
        shelf[:] = _alternating(shelf)
    picked: list[Fault] = []
    wanted = len(faults) if count is None else min(count, len(faults))
    while len(picked) < wanted:
        for name in sorted(shelves):
            if shelves[name] and len(picked) < wanted:
                picked.append(shelves[name].pop(0))
    return tuple(sorted(picked))


def _alternating(shelf: Sequence[Fault]) -> list[Fault]:
    """A forged one, one of bytes, and so on, as long as there are both."""
    forged = [fault for fault in shelf if fault.forged]
    others = [fault for fault in shelf if not fault.forged]
    paired = [fault for pair in zip(forged, others, strict=False) for fault in pair]
    least = min(len(forged), len(others))
    return [*paired, *forged[least:], *others[least:]]


def said_of(report: DrillReport, component: str) -> tuple[str, ...]:
    """What the drill holds against the component's rows."""
    return tuple(finding for row in _rows(report, component) for finding in row.findings)


def verdict_of(report: DrillReport, component: str) -> str:
    """Of its rows that were drilled."""
    return ", ".join(dict.fromkeys(str(row.verdict) for row in _rows(report, component)))


def caught(report: DrillReport, component: str, edit: Edit) -> bool:
    """Whether every row that stands on the spoilt copy reads as it must, and a finding names what was hit. A drill that fails
    for another reason has caught nothing."""
    rows = _rows(report, component)
    return bool(rows) and all(row.verdict in edit.expected and named(row.findings, edit.hit) for row in rows)


def named(texts: Sequence[str], hit: Sequence[str]) -> bool:
    return any(name in text for text in texts for name in hit)


def sound(report: DrillReport, component: str) -> bool:
    """Nothing is called broken. A missed objective is no false alarm: how fast and how fresh is another question."""
    rows = _rows(report, component)
    broken = any(row.verdict is Verdict.FAILED for row in rows)
    return bool(rows) and not broken and all(check.passed for check in report.around)


def _rows(report: DrillReport, component: str) -> list[DrillRow]:
    undrilled = (Verdict.NOT_DRILLED, Verdict.NOT_CAPTURED)
    return [row for row in report.rows if row.component == component and row.verdict not in undrilled]
