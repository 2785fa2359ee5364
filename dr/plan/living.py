"""What was lost, judged against the living source as it was at the disaster (when no writer's record is at hand)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from dr.model.evidence import LostWrites
from dr.ports import RestoredItem


def lost_against_living(
    living: Iterable[RestoredItem], restored: Mapping[str, str], instant: datetime, disaster_at: datetime
) -> LostWrites:
    """Compare the restored copy (path -> sha256), restored to `instant`, with the source at `disaster_at`.

    A living source shows only the newest version of each path, so the count is a lower bound. A difference on a path that
    did not change after `instant` is not loss but wrong content; a path that changed after the disaster says nothing of the
    state at the disaster.
    """
    ages: list[float] = []
    wrong: list[str] = []
    absent: list[str] = []
    seen: set[str] = set()
    for item in living:
        seen.add(item.path)
        after = item.updated is not None and item.updated > disaster_at
        if after or restored.get(item.path) == item.sha256:
            continue
        if item.updated is not None and item.updated <= instant:
            wrong.append(item.path)
        else:
            absent.append(item.path)
            ages.append((disaster_at - (item.updated or instant)).total_seconds())
    # in the copy but no longer in the source: the deletion came after the instant, when exactly nobody knows
    ages += [(disaster_at - instant).total_seconds() for path in restored if path not in seen]
    return LostWrites(
        acknowledged=len(seen),
        lost=len(ages),
        oldest_lost_s=max(ages, default=None),
        wrong=tuple(sorted(wrong)),
        at_least=True,
        absent=tuple(sorted(absent)),
    )
