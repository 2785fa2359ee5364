"""Many names in one sentence."""

from __future__ import annotations

from collections.abc import Sequence


def first(names: Sequence[str], count: int, separator: str = ", ") -> str:
    """The first `count` of them, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return separator.join(names[:count]) + more
