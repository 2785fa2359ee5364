"""What was lost, judged against the living source as it was at the disaster (when no writer's record is at hand)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from dr.model.evidence import LostWrites
from dr.ports import RestoredItem


def doubtful(living: Iterable[RestoredItem], restored: Mapping[str, str], instant: datetime) -> frozenset[str]:
    """Paths of which the living source, as it is, cannot tell what they held at `instant`: changed, made or deleted since, and
    now other than in the copy."""
    seen: set[str] = set()
    found: set[str] = set()
    for item in living:
        seen.add(item.path)
        if (item.updated is None or item.updated > instant) and restored.get(item.path) != item.sha256:
            found.add(item.path)
    return frozenset(found | (restored.keys() - seen))


def lost_against_living(
    living: Iterable[RestoredItem],
    restored: Mapping[str, str],
    instant: datetime,
    disaster_at: datetime,
    history: Mapping[str, str] | None = None,
) -> LostWrites:
    """Compare the restored copy (path -> sha256), restored to `instant`, with the source at `disaster_at`.

    A living source shows only the newest version of each path, so the count is a lower bound. A difference on a path that
    did not change after `instant` is not loss but wrong content; a path that changed after the disaster says nothing of the
    state at the disaster. What only the copy of the very instant has was deleted while the source was read: it is named as
    unexpected.

    `history`: what the `doubtful` paths held at `instant`, where the source remembers: what is other than it is wrong, whatever
    came later. Without it such a path counts as lost, and wrong content that was overwritten since goes unseen.
    """
    ages: list[float] = []
    wrong: list[str] = []
    absent: list[str] = []
    seen: set[str] = set()
    for item in living:
        seen.add(item.path)
        found, newer = restored.get(item.path), item.updated is None or item.updated > instant
        if found == item.sha256:
            continue
        if newer and history is not None and found != history.get(item.path):
            wrong.append(item.path)
        elif item.updated is not None and item.updated > disaster_at:
            continue
        elif not newer:
            wrong.append(item.path)
        else:
            absent.append(item.path)
            ages.append((disaster_at - (item.updated or instant)).total_seconds())
    # in the copy but no longer in the source: the deletion came after the instant, when exactly nobody knows. It is a loss only
    # where it can have come before the disaster
    gone = sorted(restored.keys() - seen)
    if history is not None:
        wrong += [path for path in gone if restored[path] != history.get(path)]
        gone = [path for path in gone if restored[path] == history.get(path)]
    if instant < disaster_at:
        ages += [(disaster_at - instant).total_seconds()] * len(gone)
    return LostWrites(
        acknowledged=len(seen),
        lost=len(ages),
        oldest_lost_s=max(ages, default=None),
        wrong=tuple(sorted(wrong)),
        unexpected=tuple(gone) if instant >= disaster_at else (),
        at_least=True,
        absent=tuple(sorted(absent)),
    )


def lost_of_additions(
    living: Iterable[RestoredItem], restored: Mapping[str, str], since: datetime, disaster_at: datetime
) -> LostWrites:
    """As `lost_against_living`, of a source that things are only added to, captured from `since` on.

    What lives and was not restored is lost, whenever it was added: nothing overwrites it. What only the copy has is gone
    from the living source by age, which is what the copy is for. The count is a lower bound: what the living source has
    forgotten, nobody can miss.
    """
    ages: list[float] = []
    wrong: list[str] = []
    seen = 0
    for item in living:
        if item.updated is not None and not since <= item.updated <= disaster_at:
            continue
        seen += 1
        found = restored.get(item.path)
        if found is None:
            ages.append((disaster_at - (item.updated or since)).total_seconds())
        elif found != item.sha256:
            wrong.append(item.path)
    return LostWrites(seen, len(ages), max(ages, default=None), tuple(sorted(wrong)), at_least=True)
