"""Forecasts from drills in the lab: small ones are fitted, ones of ten times the size are held out. `python -m benchmarks.forecast` is the
whole campaign; this is its tenth, by the same code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.forecast import Campaign
from lab import lifecycle
from tests.lab.command import Dr

pytestmark = pytest.mark.lab
FITTED, HELD, TENTHS = 5, 3, (20, 40)


@contextmanager
def campaign(folder: Path) -> Iterator[Campaign]:
    """In a lab of its own."""
    made = Campaign(folder, FITTED, HELD, TENTHS)
    lifecycle.up(lifecycle.Wish(made.lab, "data", options={"snapshot-granularity": "1"}))
    try:
        yield made
    finally:
        lifecycle.down(made.lab)


@pytest.mark.timeout(900)
def test_the_bound_from_small_drills_covers_large_ones(tmp_path: Path) -> None:
    """Of three held-out drills at least two: of thirty the campaign wants nine in ten. A neighbour who comes when the large ones
    begin is no fault of the forecast: it may be wrong once, not twice."""
    covered = []
    for attempt in ("first", "second"):
        (tmp_path / attempt).mkdir()
        with campaign(tmp_path / attempt) as plan:
            plan.drill(plan.prepare())
            found = plan.compare()
            told_by(plan)
        assert found["fitted"] == FITTED
        assert found["held_out"] == HELD
        assert found["bound_s"] is not None, found["reasons"]
        assert set(found["steps"]) >= {"verify-point", "import", "follow", "check", "recovery"}  # type: ignore[call-overload]
        covered.append(float(str(found["covered"])))
        if covered[-1] >= 2 / 3:
            return
    raise AssertionError(f"of the large drills only these shares lay within the bound: {covered}")


def told_by(plan: Campaign) -> None:
    """What people are told of it."""
    dr = Dr(plan.lab, plan.folder)
    told = {(item["component"], item["domain"]): item for item in dr.fine("drill", "forecast", "-o", "json").items}
    source, region = told["appdata", "source"], told["appdata", "region"]
    assert source["drills"] == FITTED + HELD
    assert source["outlook"] == "within"
    assert source["rto"]["bound_s"] < 3600
    assert source["projected"]["declared"] is False
    assert (region["method"], region["drills"]) == ("firestore-export", FITTED + HELD), (
        "the same method is the same evidence"
    )
    assert told["cluster", "source"]["outlook"] == "insufficient evidence"
    report = json.loads(dr.fine("drill", "report", "-o", "json").out)
    assert any(one["drills"] == FITTED + HELD for one in report["drill"]["forecasts"])
