"""How long a step takes, and how that grows with size: `(fixed + per unit * size) * noise`, the noise lognormal.

With c the time at the mean drilled size m and r the share of it that grows, `T(x) = c * g(x)`, `g(x) = 1 - r + r * x / m`. For a
given r the logarithms of `T / g` are a plain normal sample, so its prediction bound is the textbook one. r itself is only known as
well as the samples tell: the bound is the largest over every r that they do not rule out, in one inequality (a future value belongs
to the bound if the fit with it is not significantly worse than the fit without it). Where all samples have one size nothing rules
out any r: then time may grow in full proportion, or not at all. Samples that were cut off (a timeout) count as "at least so long": their
expected logarithms stand in for them (EM).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

LEVEL = 0.95
DISTRIBUTION_FREE = 59
"""So many measured values are needed before the largest of them is a 95/95 bound whatever the distribution."""
_SAME_SIZE = 1.001
_ROUNDS = 60
_LEAST_SIGMA = 1e-3
_SHARES = (0.0, *(1 / (1 + math.exp(-step / 4)) for step in range(-36, 37)), 1.0)
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Observation:
    """One run of a step over something of size `x` (bytes or objects). `ended` False: it took longer than `seconds`."""

    x: float
    seconds: float
    ended: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds. `low` and `high` are one-sided 95 % prediction bounds of one future run; None: too few samples for any."""

    median: float
    low: float | None
    high: float | None
    distribution_free: bool = False


@dataclass(frozen=True, slots=True)
class _Fit:
    """For one share: mean and sum of squares of the logarithms, the largest of them, and log g at the projected size."""

    mean: float
    squares: float
    largest: float
    log_growth: float

    @property
    def middle(self) -> float:
        return self.mean + self.log_growth


def project(observations: Sequence[Observation], x: float) -> Bounds | None:
    """One future run over `x`. None when nothing ever ended."""
    known = sum(one.ended for one in observations)
    if not known:
        return None
    sizes = [max(one.x, 1.0) for one in observations]
    varied = max(sizes) > _SAME_SIZE * min(sizes)
    fits = [_fit(observations, sizes, x, share) for share in (_SHARES if varied else (1.0, 0.0))]
    best = min(fits, key=lambda fit: fit.squares)
    freedom = known - (2 if varied else 1)
    if freedom < 1:
        return Bounds(math.exp(best.middle), None, None)
    # the sum of squares up to which a future value is no surprise
    limit = best.squares * (1 + student(freedom) ** 2 / (len(observations) - known + freedom))
    reach = [(fit, math.sqrt((limit - fit.squares) * (known + 1) / known)) for fit in fits if fit.squares <= limit]
    low = min(fit.middle - width for fit, width in reach)
    free = known >= DISTRIBUTION_FREE and known == len(observations)
    high = max(fit.log_growth + fit.largest if free else fit.middle + width for fit, width in reach)
    return Bounds(math.exp(best.middle), math.exp(low), math.exp(high), free)


def _fit(observations: Sequence[Observation], sizes: Sequence[float], x: float, share: float) -> _Fit:
    scale = sum(sizes) / len(sizes)

    def log_growth(size: float) -> float:
        return math.log(1 - share + share * max(size, 1.0) / scale)

    logs = [math.log(max(one.seconds, 1e-6)) - log_growth(size) for one, size in zip(observations, sizes, strict=True)]
    ended = [value for value, one in zip(logs, observations, strict=True) if one.ended]
    cut = [value for value, one in zip(logs, observations, strict=True) if not one.ended]
    mean, squares = _normal(ended, cut)
    return _Fit(mean, squares, max(ended), log_growth(x))


def _normal(ended: Sequence[float], cut: Sequence[float]) -> tuple[float, float]:
    """Mean and expected sum of squares of a normal sample of which `cut` are only lower bounds."""
    count = len(ended) + len(cut)
    mean, squares = _moments([*ended, *cut], 0.0)
    for _ in range(_ROUNDS if cut else 0):
        sigma = max(math.sqrt(squares / count), _LEAST_SIGMA)
        guessed = [_beyond(value, mean, sigma) for value in cut]
        before = mean
        mean, squares = _moments([*ended, *(value for value, _ in guessed)], sum(spread for _, spread in guessed))
        if abs(mean - before) < 1e-7:
            break
    return mean, squares


def _moments(values: Sequence[float], extra: float) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((value - mean) ** 2 for value in values) + extra


def _beyond(limit: float, mean: float, sigma: float) -> tuple[float, float]:
    """Mean and variance of a normal value that is known to lie above `limit`."""
    z = (limit - mean) / sigma
    # far out in the tail both density and remainder vanish; their ratio tends to z
    left = _NORMAL.cdf(-z)
    hazard = _NORMAL.pdf(z) / left if left > 1e-12 else z + 1 / max(z, 1.0)
    return mean + sigma * hazard, max(0.0, sigma * sigma * (1 + z * hazard - hazard * hazard))


# --- Student's t -----------------------------------------------------------------------------------------------------


@lru_cache
def student(freedom: int, level: float = LEVEL) -> float:
    """The quantile of Student's t, to 1e-9, by bisection."""
    low, high = 0.0, 1.0
    while _student_below(high, freedom) < level:
        high *= 2
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_below(middle, freedom) < level else (low, middle)
    return high


def _student_below(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0; the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cos2, odd = math.cos(angle) ** 2, freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cos2 * (k - 1) / k
        total += term
    if not odd:
        inside = math.sin(angle) * total
    else:
        inside = 2 / math.pi * (angle + (math.sin(angle) * total if freedom > 1 else 0.0))
    return 0.5 + inside / 2
