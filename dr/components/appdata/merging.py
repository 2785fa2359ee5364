"""Two databases compared document by document, in bounded memory: both are read in the order of names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dr.ports import Salvaged

_NUMBERED = re.compile(r"__id(-?\d+)__")
Order = tuple[tuple[int, int, bytes], ...]


def order_of(path: str) -> Order:
    """Firestore's: segment by segment, numbered names first, the others by their bytes."""
    return tuple(_rank(segment) for segment in path.split("/"))


def _rank(segment: str) -> tuple[int, int, bytes]:
    numbered = _NUMBERED.fullmatch(segment)
    return (0, int(numbered[1]), b"") if numbered else (1, 0, segment.encode())


def differing(living: Iterator[tuple[str, str]], wanted: Iterator[tuple[str, str]]) -> Iterator[Salvaged]:
    """(path, hash) of what lives against what comes instead: what was made, changed or deleted since."""
    left, right = next(living, None), next(wanted, None)
    while left or right:
        if right is None or (left and order_of(left[0]) < order_of(right[0])):
            assert left is not None
            yield Salvaged(left[0], "newer", left[1])
            left = next(living, None)
        elif left is None or order_of(right[0]) < order_of(left[0]):
            yield Salvaged(right[0], "deleted", "")
            right = next(wanted, None)
        else:
            if left[1] != right[1]:
                yield Salvaged(left[0], "changed", left[1])
            left, right = next(living, None), next(wanted, None)
