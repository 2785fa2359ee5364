"""Prediction bounds hold what they promise over many simulated histories, also with samples that were cut off."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr.plan.growth import DISTRIBUTION_FREE, Observation, project, student

HISTORIES = 600
SIMULATED = [
    # sizes drilled, projected to, drills, fixed s, s per unit, sigma, cut off at
    ((25, 50, 100), 1000, 10, 1.0, 0.01, 0.3, None),
    ((25, 50, 100), 1000, 5, 1.0, 0.01, 0.2, None),
    ((25, 50, 100), 1000, 10, 0.0, 0.01, 0.2, None),
    ((90, 100, 110), 1000, 8, 3.0, 0.001, 0.1, None),
    ((100,), 100, 5, 1.0, 0.01, 0.4, None),
    ((100,), 1000, 5, 1.0, 0.01, 0.4, None),
    ((25, 50, 100), 1000, 12, 1.0, 0.01, 0.3, 2.2),
    ((100,), 100, 12, 1.0, 0.01, 0.3, 2.3),
    ((25, 50, 100), 10, 10, 1.0, 0.01, 0.2, None),
]


def simulated(
    draw: random.Random, sizes: Sequence[int], count: int, fixed: float, per: float, sigma: float, limit: float | None
) -> list[Observation]:
    history = []
    for number in range(count):
        size = sizes[number % len(sizes)]
        seconds = (fixed + per * size) * math.exp(draw.gauss(0, sigma))
        cut = limit is not None and seconds > limit
        history.append(Observation(size, limit if limit is not None and cut else seconds, not cut))
    return history


@pytest.mark.parametrize(("sizes", "x", "count", "fixed", "per", "sigma", "limit"), SIMULATED)
def test_nineteen_of_twenty_futures_are_within_each_bound(
    sizes: tuple[int, ...], x: int, count: int, fixed: float, per: float, sigma: float, limit: float | None
) -> None:
    """Of 600 histories, each with a future of its own: 95 % less what chance explains (three standard errors)."""
    draw, below, above, told = random.Random(7), 0, 0, 0
    for _ in range(HISTORIES):
        bounds = project(simulated(draw, sizes, count, fixed, per, sigma, limit), x)
        future = (fixed + per * x) * math.exp(draw.gauss(0, sigma))
        if bounds is None or bounds.high is None or bounds.low is None:
            continue
        told += 1
        below += future <= bounds.high
        above += future >= bounds.low
    assert told >= 0.95 * HISTORIES
    least = 0.95 - 3 * math.sqrt(0.95 * 0.05 / told)
    assert below / told >= least
    assert above / told >= least


def test_dropping_what_was_cut_off_would_promise_too_much() -> None:
    """The same histories with the timed-out drills left out do not hold: that is why they count."""
    draw, kept, dropped = random.Random(11), 0, 0
    for _ in range(HISTORIES):
        history = simulated(draw, (100,), 12, 2.0, 0.0, 0.5, 2.2)
        future = 2.0 * math.exp(draw.gauss(0, 0.5))
        whole, ended = project(history, 100), project([one for one in history if one.ended], 100)
        kept += whole is not None and whole.high is not None and future <= whole.high
        dropped += ended is not None and ended.high is not None and future <= ended.high
    assert kept / HISTORIES > 0.92 > 0.85 > dropped / HISTORIES


@pytest.mark.parametrize(("count", "factor"), [(3, 3.37), (5, 2.34), (10, 1.92), (20, 1.77)])
def test_the_factors_are_those_of_the_books(count: int, factor: float) -> None:
    assert student(count - 1) * math.sqrt(1 + 1 / count) == pytest.approx(factor, abs=0.006)


def test_drills_of_one_size_give_the_textbook_bound() -> None:
    logs = [0.1, -0.2, 0.05, 0.3, -0.1]
    mean = sum(logs) / 5
    deviation = math.sqrt(sum((log - mean) ** 2 for log in logs) / 4)
    bounds = project([Observation(100, math.exp(log)) for log in logs], 100)
    assert bounds is not None
    assert bounds.high == pytest.approx(math.exp(mean + 2.335 * deviation), rel=1e-3)
    assert bounds.median == pytest.approx(math.exp(mean))


def test_nothing_is_known_of_growth_from_one_size() -> None:
    """Up to full proportion, down to none."""
    bounds = project([Observation(100, seconds) for seconds in (1.0, 1.1, 0.9, 1.05, 0.95)], 1000)
    assert bounds is not None
    assert bounds.low is not None
    assert bounds.high is not None
    assert bounds.median == pytest.approx(10, rel=0.02)
    assert bounds.low < 1 < 10 < bounds.high < 15


def test_a_step_that_does_not_grow_is_not_taken_to_grow() -> None:
    history = [
        Observation(x, 5.0 * factor) for x, factor in zip((10, 100, 1000) * 4, (1.0, 1.01, 0.99, 1.02) * 3, strict=True)
    ]
    bounds = project(history, 10_000)
    assert bounds is not None
    assert bounds.high is not None
    assert bounds.high < 7


def test_what_never_ended_says_nothing() -> None:
    assert project([], 1) is None
    assert project([Observation(1, 10, ended=False)], 1) is None
    few = project([Observation(1, 10), Observation(2, 12)], 1)
    assert few is not None
    assert (few.low, few.high) == (None, None)


def test_enough_drills_need_no_distribution() -> None:
    """From 59 on the largest measured value is the bound: a heavy tail is in it."""
    seconds = [1.0] * (DISTRIBUTION_FREE - 1) + [30.0]
    bounds = project([Observation(100, value) for value in seconds], 100)
    assert bounds is not None
    assert bounds.distribution_free
    assert bounds.high == pytest.approx(30.0)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.floats(1e-3, 1e5), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 10**10),
)
def test_bounds_are_in_order_and_finite(entries: list[tuple[int, float, bool]], x: int) -> None:
    bounds = project([Observation(*entry) for entry in entries], x)
    if not any(ended for _, _, ended in entries):
        assert bounds is None
        return
    assert bounds is not None
    assert 0 < bounds.median < math.inf
    if bounds.low is not None and bounds.high is not None:
        assert 0 < bounds.low <= bounds.median * 1.0001 <= bounds.high * 1.0002 < math.inf


@settings(max_examples=30)
@given(st.lists(st.floats(1.0, 10.0), min_size=5, max_size=8), st.floats(0.1, 50))
def test_a_timeout_never_makes_the_bound_better(seconds: list[float], beyond: float) -> None:
    """One more drill that was cut off beyond all that ended: the median cannot fall."""
    history = [Observation(100, value) for value in seconds]
    cut = Observation(100, max(seconds) + beyond, ended=False)
    before, after = project(history, 100), project([*history, cut], 100)
    assert before is not None
    assert after is not None
    assert after.median >= before.median
