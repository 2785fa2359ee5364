"""Tombstones: what a prune condemned, when its deletion began, and how it ended. Create-only, in the control repository.

`tombstones/<component>/<id>/decided.json`, then `begun-<instant>-<nonce>.json`, then `ended-<instant>.json`; and the record of each prune,
`prunes/<component>/<instant>-<nonce>.json`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.model.retention import PruneBegun, PruneEnded, PruneRecord, Tombstone
from dr.model.timeline import compact_instant, parse_compact
from dr.ports import ObjectStore
from dr.record.codec import decode, encode

_ENDED = re.compile(r"ended-([0-9TZ.]+)\.json")


@dataclass(frozen=True, slots=True)
class Standing:
    """A tombstone that is not settled. `begun`: some of it may be gone already."""

    tombstone: Tombstone
    begun: bool


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Of one component."""

    control: ObjectStore
    component: str

    @property
    def _root(self) -> str:
        return f"tombstones/{self.component}/"

    def decide(self, tombstone: Tombstone) -> None:
        self.control.put(f"{self._root}{tombstone.id}/decided.json", encode(tombstone))

    def begin(self, begun: PruneBegun) -> None:
        """Before the first deletion: who comes after this must look whether what it wants is still there."""
        name = f"begun-{compact_instant(begun.at)}-{secrets.token_hex(4)}"
        self.control.put(f"{self._root}{begun.tombstone}/{name}.json", encode(begun))

    def end(self, ended: PruneEnded) -> None:
        self.control.put(f"{self._root}{ended.tombstone}/ended-{compact_instant(ended.at)}.json", encode(ended))

    def standing(self) -> tuple[Standing, ...]:
        """Not settled yet, oldest first. Raises DrError DAMAGED, NEWER_FORMAT, UNREACHABLE."""
        return tuple(
            Standing(self._read(tombstone), any(name.startswith("begun-") for name in names))
            for tombstone, names in self._groups().items()
            if "decided.json" in names and not any(map(_ENDED.fullmatch, names))
        )

    def ended_since(self, since: datetime | None) -> tuple[PruneEnded, ...]:
        """Those that ended at or after `since`."""
        names = [
            f"{self._root}{tombstone}/{name}"
            for tombstone, found in self._groups().items()
            for name in found
            if (at := _ended_at(name)) and (since is None or at >= since)
        ]
        return tuple(decode(self.control.get(name), PruneEnded, f"{self.control.url}/{name}") for name in names)

    def _groups(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for info in self.control.list(self._root):
            tombstone, _, name = info.name.removeprefix(self._root).partition("/")
            groups.setdefault(tombstone, []).append(name)
        return groups

    def _read(self, tombstone: str) -> Tombstone:
        name = f"{self._root}{tombstone}/decided.json"
        return decode(self.control.get(name), Tombstone, f"{self.control.url}/{name}")

    # --- what each prune left

    def keep_record(self, record: PruneRecord) -> None:
        self.control.put(f"{self._records}{compact_instant(record.at)}-{secrets.token_hex(4)}.json", encode(record))

    def last_record(self) -> PruneRecord | None:
        """None: nothing was pruned here yet."""
        names: Sequence[str] = [info.name for info in self.control.list(self._records)]
        if not names:
            return None
        return decode(self.control.get(names[-1]), PruneRecord, f"{self.control.url}/{names[-1]}")

    @property
    def _records(self) -> str:
        return f"prunes/{self.component}/"


def _ended_at(name: str) -> datetime | None:
    match = _ENDED.fullmatch(name)
    return parse_compact(match[1]) if match else None
