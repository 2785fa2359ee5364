"""Old points are drilled too: an instant by lot within what can be restored, from a seed that is recorded. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from dr.model.evidence import Drawn
from dr.model.ids import SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain


def draw(
    seed: str,
    source: SourceId,
    domain: FailureDomain,
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    not_before: datetime,
) -> Drawn | None:
    """Evenly over time, not over points: of a retention that thins out, the old years weigh as much as they last. Whole
    seconds, because people type them. None when nothing since `not_before` survives the domain."""
    kept = [point.as_of for point in points if point.source == source and domain in point.survives]
    logs = [one for one in coverage if one.source == source and domain in one.survives]
    starts, ends = [one.start for one in logs], [one.end for one in logs]
    instants = [at for at in (*kept, *starts, *ends) if at >= not_before]
    if not instants:
        return None
    # a log that began before the retention can be restored at its beginning
    first = not_before if any(one.start < not_before <= one.end for one in logs) else min(instants)
    last = max(instants)
    share = random.Random(f"{seed}/{source}/{domain}").random()
    whole = (first + (last - first) * share).replace(microsecond=0) + timedelta(seconds=1)
    return Drawn(str(source), domain, min(whole, last), first, last, seed)


def spread(drawn: Drawn) -> timedelta:
    """How long the time was that the lot fell in."""
    return drawn.last - drawn.first
