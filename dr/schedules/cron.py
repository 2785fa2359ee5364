"""When a CronJob fires, so that each slot of a cadence finds a firing at its due instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import gcd

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """A cron expression in UTC. `every` is shorter than the cadence where cron cannot say it (8 minutes are no even part of
    an hour): firings between slots find theirs done."""

    expression: str
    every: timedelta


def firing_for(cadence: timedelta) -> Firing:
    """Slots are whole multiples of the cadence since 1970: the firings hit them all. A cadence that is not whole minutes fires
    each minute, the finest that cron offers."""
    if cadence % _MINUTE:
        return Firing("* * * * *", _MINUTE)
    if cadence % _HOUR:
        minutes = gcd(cadence // _MINUTE, 60)
        return Firing("* * * * *" if minutes == 1 else f"*/{minutes} * * * *", minutes * _MINUTE)
    hours = gcd(cadence // _HOUR, 24)
    if hours == 24:
        return Firing("0 0 * * *", _DAY)
    return Firing("0 * * * *" if hours == 1 else f"0 */{hours} * * *", hours * _HOUR)
