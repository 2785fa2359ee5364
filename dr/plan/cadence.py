"""Derive how often to capture from what may be lost: the table's own word (`daily`) never decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dr.model.strategy import Frequency
from dr.plan.predict import Prediction, rounded

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_WORDS = {Frequency.DAILY: _DAY}
_SECOND = timedelta(seconds=1)
_STEPS = (
    *(timedelta(seconds=n) for n in range(1, 60) if not 60 % n),
    *(timedelta(minutes=n) for n in range(1, 1441) if not 1440 % n),
)
"""Cadences that divide a day evenly."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """`every` None: no cadence keeps this RPO. `worst`: age of the newest point just before the next one commits."""

    every: timedelta | None
    worst: timedelta | None
    duration: timedelta
    """Reckoned with, from start to commit."""
    measured: bool
    reasons: tuple[str, ...]


def derive_cadence(
    rpo: timedelta,
    prediction: Prediction | None,
    margin: float,
    granularity: timedelta = timedelta(0),
    frequency: Frequency | None = None,
) -> Cadence:
    """The longest even cadence whose worst case stays under the RPO with its margin (a share of the RPO) free.

    `granularity`: how much older than its start a capture's data can be (snapshots of whole minutes: one minute).
    Nothing measured yet: a capture is reckoned to take as much as the margin, until the first one says better.
    """
    duration = prediction.slowest if prediction else rpo * margin
    source = str(prediction) if prediction else f"nothing measured yet, reckoned as {margin:.0%} of the RPO"
    reasons = (*_word_alone(rpo, duration, granularity, frequency), f"a capture takes {rounded(duration)}: {source}")
    if rpo <= timedelta(0):
        return Cadence(None, None, duration, bool(prediction), ("RPO 0 needs a capture that the write waits for",))
    limit = rpo * (1 - margin) - duration - granularity
    # a worst case equal to the RPO is a miss, also when no margin is asked for
    every = _even(min(limit, rpo - duration - granularity - timedelta.resolution), granularity)
    reasons = (*reasons, _sum(rpo, margin, duration, granularity, limit))
    if every is None or every < duration:
        return Cadence(None, None, duration, bool(prediction), (*reasons, _impossible(every, limit, duration)))
    worst = every + duration + granularity
    reasons = (
        *reasons,
        f"every {rounded(every)}: worst case {_worst(every, duration, granularity, worst, rpo)}",
    )
    return Cadence(every, worst, duration, bool(prediction), reasons)


def continuous_cadence(pack_every: timedelta, prediction: Prediction | None, noun: str) -> Cadence:
    """Of a source that is captured as it changes: slots only roll its log into packs, so they keep no RPO."""
    duration = prediction.slowest if prediction else pack_every / 100
    reason = f"captured as it changes; every {rounded(pack_every)} the {noun} is rolled into a pack"
    return Cadence(pack_every, None, duration, bool(prediction), (reason,))


def _even(limit: timedelta, granularity: timedelta) -> timedelta | None:
    """The longest cadence within `limit` that divides a day (or is whole days), in multiples of the granularity.

    Even steps keep slots where they are when a measured duration changes a little, and start a day at 00:00 UTC.
    """
    if limit >= _DAY:
        return limit // _DAY * _DAY
    fitting = [every for every in _STEPS if every <= limit and not every % max(_SECOND, granularity)]
    return max(fitting, default=None)


def best_effort(
    rpo: timedelta, prediction: Prediction | None, margin: float, granularity: timedelta = timedelta(0)
) -> timedelta | None:
    """How often to capture when no cadence keeps this RPO with what captures took at the slowest: as the usual capture allows,
    else one after the other. A row that cannot keep its promise is captured all the same. None for an RPO of 0."""
    if rpo <= timedelta(0):
        return None
    usual = prediction.median if prediction else timedelta(0)
    derived = derive_cadence(rpo, Prediction(usual, usual, usual, 1), margin, granularity)
    if derived.every:
        return derived.every
    longer = [every for every in _STEPS if every >= usual + granularity and not every % max(_SECOND, granularity)]
    return min(longer, default=-(-(usual + granularity) // _DAY) * _DAY)


def _word_alone(
    rpo: timedelta, duration: timedelta, granularity: timedelta, frequency: Frequency | None
) -> tuple[str, ...]:
    word = _WORDS.get(frequency) if frequency else None
    if word is None or frequency is None:
        return ()
    total = word + duration + granularity
    verdict = "is under" if total < rpo else "misses"
    extra = f" + granularity {rounded(granularity)}" if granularity else ""
    words = f"{rounded(word)} + capture {rounded(duration)}{extra} = {rounded(total)}"
    return (f'"{frequency}" alone: {words}, which {verdict} RPO < {rounded(rpo)}',)


def _sum(rpo: timedelta, margin: float, duration: timedelta, granularity: timedelta, limit: timedelta) -> str:
    text = f"RPO {rounded(rpo)} - margin {rounded(rpo * margin)} - capture {rounded(duration)}"
    if granularity:
        text += f" - granularity {rounded(granularity)}"
    return f"{text} = {_signed(limit)} at most between captures"


def _signed(value: timedelta) -> str:
    return rounded(value)


def _worst(every: timedelta, duration: timedelta, granularity: timedelta, worst: timedelta, rpo: timedelta) -> str:
    parts = [rounded(every), rounded(duration), *([rounded(granularity)] if granularity else [])]
    return f"{' + '.join(parts)} = {rounded(worst)} < {rounded(rpo)}"


def _impossible(every: timedelta | None, limit: timedelta, duration: timedelta) -> str:
    if every is None:
        return f"cannot be met: {_signed(limit)} leaves no room for a cadence"
    return (
        f"cannot be met: a capture ({rounded(duration)}) is longer than its cadence ({rounded(every)}), "
        "and captures of one source do not overlap"
    )
