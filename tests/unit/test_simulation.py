"""The four rows for weeks on virtual time: no RPO is missed that could have been kept. Years of it: benchmarks/simulation.py."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dr.model.ids import SourceId
from tests.unit import simulation
from tests.unit.simulated import Findings, found
from tests.unit.simulation import APPDATA, AUDIT, CLUSTER, CONFIG, DAY, Row, Severity, Simulation, Weather

DAYS = 20.0
CALM = Severity((0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1, 2), (0, 1, 2), 0)
ROUGH = Severity((1, 0.5, 60), (0.7, 1, 30), (4, 1, 5), (2, 30, 360), (2, 1, 45), 0.3)


def simulated(weather: Weather, workers: int = 4) -> tuple[dict[SourceId, Row], dict[SourceId, Findings]]:
    rows = Simulation(weather, workers=workers).run()
    return rows, found(rows)


def test_in_calm_weather_every_rpo_is_kept() -> None:
    rows, judged = simulated(Weather(1, DAYS, CALM))
    assert {source: findings.missed for source, findings in judged.items()} == {CLUSTER: 0, APPDATA: 0}
    assert judged[APPDATA].committed == DAYS * 144
    assert judged[CLUSTER].committed == DAYS * 2
    assert judged[APPDATA].failed == judged[CLUSTER].failed == 0
    assert [rows[source].committed for source in (CONFIG, AUDIT)] == [DAYS, DAYS]
    assert max(rows[source].lag_s for source in (CONFIG, AUDIT)) <= 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("severity", [Severity(), ROUGH], ids=["usual", "rough"])
def test_no_rpo_is_missed_that_could_have_been_kept(seed: int, severity: Severity) -> None:
    """I3, I11: outages, failing and stuck captures, slow days, leaders killed and replaced."""
    weather = Weather(seed, DAYS, severity)
    rows, judged = simulated(weather)
    for source, findings in judged.items():
        assert findings.avoidable == (), source
        assert findings.worst >= findings.least_worst - simulation.TICK_S
    assert sum(row.doubles for row in rows.values()) == 0, "a slot was committed twice"
    # nothing is given up: each source is captured to the end, whatever happened
    for source, row in rows.items():
        last = max(done for _, _, done in row.points)
        assert weather.end - last < 2 * DAY, source
    assert judged[APPDATA].committed >= 0.9 * DAYS * 144


@pytest.mark.parametrize("seed", range(3))
def test_a_followed_source_is_behind_for_as_long_as_nobody_could_follow_it(seed: int) -> None:
    """Kills, outages and API servers that are away; plus a Lease that runs out, and one pause before it is begun again."""
    weather = Weather(seed, 10 * DAYS)
    rows = Simulation(weather, simulation.STRATEGY)
    rows._follow()
    for source in (CONFIG, AUDIT):
        longest = max(span.ends - span.begins for span in weather.blocked[source].all)
        together = 2 * longest + simulation.LEASE_S + 60 + 10
        assert 0 < rows.rows[source].lag_s <= together


@pytest.fixture
def long_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster takes half an hour, a pack of the audit log twenty minutes."""
    monkeypatch.setattr(simulation, "BASE_S", {**simulation.BASE_S, CLUSTER: 1800.0, AUDIT: 1200.0})


@pytest.mark.usefixtures("long_captures")
def test_neither_a_long_capture_nor_packs_delay_what_is_more_urgent() -> None:
    """Two workers: one of them is always there for the database, which is due every ten minutes."""
    rows, judged = simulated(Weather(5, DAYS, CALM), workers=2)
    assert judged[APPDATA].missed == judged[CLUSTER].missed == 0
    assert judged[APPDATA].worst - judged[APPDATA].least_worst <= 2 * simulation.TICK_S
    assert all(rows[source].committed >= DAYS - 1 for source in (CONFIG, AUDIT)), "packs are never made"


def test_a_time_zone_with_summer_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year has two such nights; the schedule knows UTC only."""
    monkeypatch.setattr(simulation, "START", datetime(2025, 3, 28, tzinfo=UTC))
    weather = Weather(7, 5.0, replace(CALM, kills=0.5))
    before = found(Simulation(weather).run())
    monkeypatch.setitem(os.environ, "TZ", "Europe/Berlin")
    time.tzset()
    try:
        summer = [time.localtime((simulation.START + timedelta(days=day)).timestamp()).tm_isdst for day in (1, 3)]
        assert summer == [0, 1], "this machine knows no time zones"
        assert found(Simulation(weather).run()) == before
    finally:
        monkeypatch.undo()
        time.tzset()
