"""Which point to try next, when the newest clean one is sought among many of which the newest are bad. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def next_try(count: int, tried: Mapping[int, bool]) -> int | None:
    """Points are numbered from the newest, 0; `tried`: which of them was clean. Steps back 1, 2, 4... points until one is
    clean, then halves what lies between: as many restores as the logarithm of the answer. Takes it that what is older than
    a clean point is clean too. None: `found` tells."""
    clean = min((index for index, good in tried.items() if good), default=None)
    bad = max((index for index, good in tried.items() if not good), default=-1)
    if clean is None:
        ahead = min(2 * bad + 1 if bad >= 0 else 0, count - 1)
        return ahead if ahead > bad else None
    between = (bad + clean) // 2
    return between if bad < between < clean else None


def found(tried: Mapping[int, bool]) -> int | None:
    """The newest clean one of those tried."""
    return min((index for index, good in tried.items() if good), default=None)
