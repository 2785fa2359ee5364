"""Which copy to look at next, and what the answers so far come to. Candidates are numbered from 0, oldest first.

The ends come first: the newest must be bad and the oldest clean, or a search between them means nothing. Then halves, so that n
candidates take at most ceil(log2 n) + 2 copies, and one more for each that cannot tell. That what is bad stays bad is an
assumption: answers that contradict it are named, and the oldest bad copy counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dr.model.bisecting import Answer, Finding
from dr.model.ids import SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.strategy import FailureDomain
from dr.model.timeline import floor_to

Answers = Mapping[int, Answer]
MOST_INSTANTS = 100_000
"""Of a continuous history; more need a longer distance between them."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Numbers of candidates, or None."""

    finding: Finding
    last_clean: int | None = None
    first_bad: int | None = None


def most_guesses(count: int, confirm: int = 0) -> int:
    """Copies that a search takes at most, when every one of them can tell."""
    return (count - 1).bit_length() + 2 + confirm


def next_guess(count: int, answers: Answers, confirm: int = 0) -> int | Conclusion:
    """The candidate to restore next, or the end of the search."""
    newest = _first_told(range(count - 1, -1, -1), answers)
    if newest is None or newest not in answers:
        return Conclusion(Finding.UNDECIDED) if newest is None else newest
    if answers[newest] is Answer.CLEAN:
        return Conclusion(Finding.NOTHING_BAD, last_clean=newest)
    oldest = _first_told(range(newest), answers)
    if oldest is None:
        # nothing older than the newest bad one can be told: with nothing older at all it is the oldest itself
        return Conclusion(Finding.UNDECIDED if newest else Finding.NOTHING_CLEAN, first_bad=newest)
    if oldest not in answers:
        return oldest
    if answers[oldest] is Answer.BAD:
        return Conclusion(Finding.NOTHING_CLEAN, first_bad=oldest)
    clean, bad = boundary(answers)
    middle = _middle(clean, bad, answers)
    if middle is None and confirm_left(answers, confirm):
        middle = _widest_gap(count, clean, bad, answers)
    return Conclusion(Finding.FOUND, clean, bad) if middle is None else middle


def _first_told(numbers: Iterable[int], answers: Answers) -> int | None:
    """The first that is not known to be untellable: answered, or still to be asked."""
    return next((number for number in numbers if answers.get(number) is not Answer.UNKNOWN), None)


def boundary(answers: Answers) -> tuple[int, int]:
    """The oldest bad one, and the newest clean one before it."""
    bad = min(number for number, answer in answers.items() if answer is Answer.BAD)
    clean = max(number for number, answer in answers.items() if answer is Answer.CLEAN and number < bad)
    return clean, bad


def _middle(clean: int, bad: int, answers: Answers) -> int | None:
    """Of what is left, not of the distance: what cannot be told must not make the halves uneven."""
    left = [number for number in range(clean + 1, bad) if number not in answers]
    return left[len(left) // 2] if left else None


def confirm_left(answers: Answers, confirm: int) -> bool:
    """A search needs no more than its halves; what was asked beyond them was asked to confirm."""
    return (
        confirm > 0 and len([one for one in answers.values() if one is not Answer.UNKNOWN]) < _needed(answers) + confirm
    )


def _needed(answers: Answers) -> int:
    """Told candidates that the search itself asked for: the ends, and each step of halving, replayed."""
    seen: dict[int, Answer] = {}
    count = max(answers) + 1
    while isinstance(number := next_guess(count, seen), int) and number in answers:
        seen[number] = answers[number]
    return len([one for one in seen.values() if one is not Answer.UNKNOWN])


def _widest_gap(count: int, clean: int, bad: int, answers: Answers) -> int | None:
    """The middle of the longest stretch, before the clean one or after the bad one, in which nothing was asked."""
    asked = sorted(number for number in answers if number <= clean or number >= bad)
    gaps = [(low, high) for low, high in pairwise(asked) if high - low > 1 and (low, high) != (clean, bad)]
    low, high = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0, 0))
    return (low + high) // 2 if high else None


def contradictions(answers: Answers, name: Callable[[int], str]) -> Iterator[str]:
    """Every clean copy that is newer than the oldest bad one."""
    bad = min((number for number, answer in answers.items() if answer is Answer.BAD), default=None)
    for number in sorted(answers):
        if bad is not None and number > bad and answers[number] is Answer.CLEAN:
            yield f"{name(number)} is clean, although {name(bad)} before it is bad: what is bad does not stay bad"


# --- candidates ------------------------------------------------------------------------------------------------------


def candidates(
    sources: Sequence[SourceId],
    points: Sequence[PointSummary],
    coverage: Sequence[Coverage],
    domain: FailureDomain,
    first: datetime | None,
    last: datetime,
    every: timedelta | None = None,
) -> tuple[datetime, ...]:
    """Instants at which some source changes to another restorable state, oldest first, each once: of points their own; of a
    continuous history one every `every`, else its two ends. Raises ValueError for too many."""
    mine = [point.as_of for point in points if point.source in sources and domain in point.survives]
    histories = [one for one in coverage if one.source in sources and domain in one.survives]
    found = {at for at in mine if (first is None or first <= at) and at <= last}
    for history in histories:
        begin = max(history.start, first) if first else history.start
        found |= set(_instants(history, begin, min(history.end, last), every))
    return tuple(sorted(found))


def _instants(history: Coverage, begin: datetime, end: datetime, every: timedelta | None) -> Iterator[datetime]:
    if begin > end:
        return
    step = max(every or (end - begin), history.granularity, timedelta(microseconds=1))
    if (end - begin) / step > MOST_INSTANTS:
        raise ValueError(f"more than {MOST_INSTANTS:,} instants to choose from: take a longer distance between them")
    floor = (lambda at: floor_to(at, history.granularity)) if history.granularity else (lambda at: at)
    instant = begin
    while instant < end:
        if floor(instant) >= begin:
            yield floor(instant)
        instant += step
    if floor(end) >= begin:
        yield floor(end)
