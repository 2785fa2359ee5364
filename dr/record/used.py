"""The strategy and the settings that captures run with, kept in the control repository beside what they made.

`strategies/<sha256>.yaml` and `settings/<sha256>.yaml` are the files, `used/<instant>-<hash>.json` says when they came
into use. All create-only; a record is written only when something changed since the newest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dr.errors import DAMAGED, NOT_FOUND, DrError
from dr.model.timeline import compact_instant
from dr.model.used import Used
from dr.ports import ObjectStore
from dr.record.codec import decode, encode, sha256

USED = "used/"


@dataclass(frozen=True, slots=True)
class Kept:
    """Both files as they were last used."""

    used: Used
    strategy: bytes
    settings: bytes


def keep_used(control: ObjectStore, strategy: bytes, settings: bytes, now: datetime, tool_version: str) -> bool:
    """Store what is not stored yet; False when the newest record says the same already. Raises as the store does."""
    used = Used(now, sha256(strategy), sha256(settings), tool_version)
    newest = newest_used(control)
    if newest is not None and (newest.strategy, newest.settings) == (used.strategy, used.settings):
        return False
    control.put(_strategy(used), strategy)
    control.put(_settings(used), settings)
    record = encode(used)
    control.put(f"{USED}{compact_instant(now)}-{sha256(record)[:8]}.json", record)
    return True


def newest_used(control: ObjectStore) -> Used | None:
    """Names sort by time. Raises DrError DAMAGED, NEWER_FORMAT."""
    names = [info.name for info in control.list(USED) if info.name.endswith(".json")]
    return decode(control.get(names[-1]), Used, f"{control.url}/{names[-1]}") if names else None


def last_used(control: ObjectStore) -> Kept:
    """Raises DrError NOT_FOUND when nothing was ever kept, DAMAGED when a file is not what its name says (I7)."""
    used = newest_used(control)
    if used is None:
        hint = "every capture keeps them; `dr init` writes files to start from"
        raise DrError(NOT_FOUND, f"{control.url} keeps no strategy and no settings", hint=hint)
    return Kept(used, _whole(control, _strategy(used), used.strategy), _whole(control, _settings(used), used.settings))


def _whole(control: ObjectStore, name: str, wanted: str) -> bytes:
    data = control.get(name)
    if sha256(data) != wanted:
        raise DrError(DAMAGED, f"{control.url}/{name} is damaged: its hash is not its name")
    return data


def _strategy(used: Used) -> str:
    return f"strategies/{used.strategy}.yaml"


def _settings(used: Used) -> str:
    return f"settings/{used.settings}.yaml"
