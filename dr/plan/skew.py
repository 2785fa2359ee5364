"""How far apart the instants are that the sources of one plan are really restored to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

Instants = Sequence[tuple[str, datetime]]
"""Each source, and what it will be restored to."""


@dataclass(frozen=True, slots=True)
class Skew:
    """Between the source that is restored to the oldest instant and the one that is restored to the newest."""

    oldest: datetime
    newest: datetime
    oldest_source: str
    newest_source: str

    @property
    def span(self) -> timedelta:
        return self.newest - self.oldest


def skew_of(instants: Iterable[tuple[str, datetime]]) -> Skew | None:
    """None without a source."""
    found = sorted(instants, key=lambda entry: entry[1])
    if not found:
        return None
    (oldest_source, oldest), (newest_source, newest) = found[0], found[-1]
    return Skew(oldest, newest, oldest_source, newest_source)


def tightest(instants: Instants, at: Callable[[datetime], Instants | None]) -> tuple[datetime, timedelta] | None:
    """The instant to ask for instead, and the skew it gives: of those that some source has, the one at which all are nearest to
    each other (then the newest). `at`: what all would be restored to; None when one of them cannot be. None when nothing is
    nearer than it is."""
    now = skew_of(instants)
    if now is None:
        return None
    candidates = sorted({instant for _, instant in instants}, reverse=True)
    found = [(skew.span, instant) for instant in candidates if (skew := skew_of(at(instant) or ()))]
    best = min(found, key=lambda entry: entry[0], default=None)
    return (best[1], best[0]) if best and best[0] < now.span else None
