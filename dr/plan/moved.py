"""Whether the world that a plan was reviewed against still stands: what was read then, against what is read now. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from dr.model.plans import RestorePlan
from dr.model.review import ABSENT


def moved(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """One text for each thing that is not as it was, by name. What is not mentioned was not there."""
    return tuple(_moves(then, now))


def _moves(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name, ABSENT), now.get(name, ABSENT)
        if before == after:
            continue
        if before == ABSENT:
            yield f"{name} was made"
        elif after == ABSENT:
            yield f"{name} is gone"
        else:
            yield f"{name} changed"


def fingerprint(plan: RestorePlan) -> str:
    """SHA-256 (hex) over all that the plan was made for: the living things as reviewed and the points, generation by
    generation. Two plans with the same fingerprint were made for the same world."""
    told = {item.key: _told(item.review.world if item.review else {}, str(item.point)) for item in plan.items}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _told(world: Mapping[str, str], point: str) -> Mapping[str, str]:
    return {**{f"live {name}": version for name, version in world.items() if version != ABSENT}, "point": point}
