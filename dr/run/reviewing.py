"""The review of a restore plan, and whether the world that it was made for still stands. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dr.errors import WORLD_MOVED, DrError
from dr.model.plans import RestorePlan
from dr.model.review import Review
from dr.plan.moved import moved
from dr.ports import RestoreWork, Reviewing
from dr.run.restore import RestoreItem, works_of

_NAMED = 5


def reviewed(plan: RestorePlan, items: Sequence[RestoreItem]) -> RestorePlan:
    """The plan with what it will do to what lives now. Raises DrError as the restorers' `review`."""
    found = _reviews(items, works_of(plan, items))
    return replace(
        plan, items=tuple(replace(item, review=review) for item, review in zip(plan.items, found, strict=True))
    )


def _reviews(items: Sequence[RestoreItem], works: Sequence[RestoreWork]) -> tuple[Review, ...]:
    with ThreadPoolExecutor(max(1, len(items)), thread_name_prefix="review") as pool:
        return tuple(pool.map(_review, items, works))


def _review(item: RestoreItem, work: RestoreWork) -> Review:
    return item.restorer.review(work) if isinstance(item.restorer, Reviewing) else Review()


def refuse_moved(plan: RestorePlan, items: Sequence[RestoreItem]) -> None:
    """What was reviewed must still be true. Raises DrError WORLD_MOVED naming what moved since."""
    looked = [item for item in items if item.planned.review is not None]
    now = _reviews(looked, [work for item, work in zip(items, works_of(plan, items), strict=True) if item in looked])
    found = [
        f"{item.planned.source}: {text}"
        for item, review in zip(looked, now, strict=True)
        for text in moved(_world(item.planned.review), review.world)
    ]
    if found:
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        text = f"the world moved since this plan was made: {'; '.join(found[:_NAMED])}{more}"
        raise DrError(WORLD_MOVED, text, hint="make a new plan and review it: `dr restore plan`")


def _world(review: Review | None) -> Mapping[str, str]:
    return review.world if review else {}
