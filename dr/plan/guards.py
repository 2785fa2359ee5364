"""When a prune must not do what it decided. Each guard gives a refusal in one sentence, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from dr.model.points import PointSummary
from dr.model.retention import PruneRecord
from dr.model.timeline import format_instant
from dr.plan.retain import SKEW

SHARE = 0.1
"""Of a component's points, by number or bytes, that one run may remove."""
Counts = Mapping[str, Mapping[str, int]]
"""Source -> month of the due instant -> manifests."""


def counts_of(points: Iterable[tuple[str, datetime]]) -> dict[str, dict[str, int]]:
    """From (source, due instant). Past months can only lose points by pruning, so a loss shows although new points come."""
    found: dict[str, dict[str, int]] = {}
    for source, due in points:
        months = found.setdefault(source, {})
        month = f"{due.year:04d}-{due.month:02d}"
        months[month] = months.get(month, 0) + 1
    return found


EMPTY = "it lists no recovery point at all, and an empty listing is an error, not an empty vault"


def shrunk(now: Counts, last: PruneRecord, explained: Counts) -> str:
    """Where a listing has fewer points than the last prune left, beyond what prunes since then removed (`explained`)."""
    for source, months in last.points.items():
        for month, count in months.items():
            found = now.get(source, {}).get(month, 0)
            missing = count - explained.get(source, {}).get(month, 0) - found
            if missing > 0:
                since = format_instant(last.at)
                return f"{missing} points of {source} due in {month} are gone that the prune of {since} had left"
    return ""


def share_of(going: Iterable[PointSummary], points: Iterable[PointSummary]) -> float:
    """0..1: by number or by bytes, whichever is more."""
    sizes, total = [point.size for point in going], [point.size for point in points]
    if not sizes:
        return 0.0
    return max(len(sizes) / len(total), sum(sizes) / max(1, sum(total)))


def too_much(share: float, allowed: float) -> str:
    """Compared as they are shown: in tenths of a percent, rounded up."""
    if share <= allowed:
        return ""
    return f"this run would remove {share:.1%} of the points (by number or bytes), and {allowed:.1%} is allowed"


def skewed(now: datetime, theirs: datetime | None, last: datetime | None) -> str:
    """Our clock against the store's, and against our own last time. An HTTP date is a whole second."""
    if theirs is not None and abs(now - theirs) > SKEW + timedelta(seconds=1):
        return f"our clock says {format_instant(now)}, the store's {format_instant(theirs)}"
    if last is not None and last > now + SKEW:
        return f"our clock says {format_instant(now)}, but the last prune was at {format_instant(last)}"
    return ""
