"""The freeze: one switch in the control repository that stops pruning and new backups during an incident.

`freeze/<number>.json`, create-only and numbered, so that turning it has an order that no clock decides.
"""

from __future__ import annotations

import re
from datetime import datetime

from dr.errors import CONFLICT, FROZEN, DrError
from dr.model.retention import FreezeRecord
from dr.model.timeline import format_instant
from dr.ports import ObjectStore
from dr.record.codec import decode, encode

PREFIX = "freeze/"
_NAME = re.compile(r"freeze/(\d{6})\.json")
_TRIES = 5


def frozen(control: ObjectStore) -> FreezeRecord | None:
    """Who froze, when and why; None while nothing is frozen. Raises DrError UNREACHABLE, DAMAGED, NEWER_FORMAT."""
    newest = _newest(control)
    return newest if newest and newest.on else None


def require_not_frozen(control: ObjectStore) -> None:
    """Raises DrError FROZEN with who, when and why."""
    record = frozen(control)
    if record is not None:
        raise DrError(
            FROZEN,
            in_words(record),
            hint="`dr freeze --lift` ends it; `dr backup --even-frozen` captures all the same",
        )


def in_words(record: FreezeRecord) -> str:
    """Who, since when, and why where somebody said so."""
    why = f": {record.reason}" if record.reason else ""
    return f"frozen by {record.by} since {format_instant(record.at)}{why}"


def turn(control: ObjectStore, on: bool, now: datetime, by: str, reason: str) -> FreezeRecord:
    """Freeze or lift; what stands already stays as it is. Raises DrError CONFLICT when others turn it all the time."""
    for _ in range(_TRIES):
        newest = _newest(control)
        if (newest is not None and newest.on) == on:
            return newest or FreezeRecord(0, False, now, by, reason)
        record = FreezeRecord(newest.number + 1 if newest else 1, on, now, by, reason)
        if _put(control, record):
            return record
    raise DrError(CONFLICT, "the freeze is being turned by others at this moment; look with `dr freeze --status`")


def history(control: ObjectStore) -> tuple[FreezeRecord, ...]:
    """Every turn, oldest first."""
    return tuple(_read(control, name) for name in _names(control))


def _put(control: ObjectStore, record: FreezeRecord) -> bool:
    try:
        control.put(f"{PREFIX}{record.number:06d}.json", encode(record))
    except DrError as error:
        if error.kind is CONFLICT:
            return False
        raise
    return True


def _names(control: ObjectStore) -> list[str]:
    return [info.name for info in control.list(PREFIX) if _NAME.fullmatch(info.name)]


def _newest(control: ObjectStore) -> FreezeRecord | None:
    names = _names(control)
    return _read(control, names[-1]) if names else None


def _read(control: ObjectStore, name: str) -> FreezeRecord:
    return decode(control.get(name), FreezeRecord, f"{control.url}/{name}")
