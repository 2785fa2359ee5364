"""How long others are waited for: a silent owner, a step that does not move."""

from __future__ import annotations

from datetime import timedelta

_LEASE_SHARE = 1 / 20
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)
_LEAST = timedelta(minutes=1)
_UNMEASURED = timedelta(hours=2)
_DOUBLINGS = 6


def claim_lease(rpo: timedelta) -> timedelta:
    """How long a silent owner keeps a slot: short enough that a successor still keeps the RPO, 5 s to 5 min."""
    return min(_LONGEST, max(_SHORTEST, rpo * _LEASE_SHARE)) if rpo > timedelta(0) else _LONGEST


def patience(duration: timedelta | None, attempts: int) -> timedelta:
    """A step without progress for so long is stuck: thrice the prediction of the whole capture, 2 h where there is none;
    doubled with each attempt at the slot, so that what is only slower than ever gets through in the end."""
    base = _UNMEASURED if duration is None else max(_LEAST, 3 * duration)
    return base * float(2 ** min(attempts, _DOUBLINGS))


def unmeasured(attempts: int) -> timedelta:
    """For a capture whose duration nobody has predicted."""
    return patience(None, attempts)
