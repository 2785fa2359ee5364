"""Setting the machine's clock moves nothing; only the store's clock does."""

from __future__ import annotations

from datetime import timedelta

from dr.run.clock import SteadyClock, SystemClock, boottime
from tests.unit.record_fakes import NOON, FakeClock


class Machine:
    """A machine whose clock can be set while its time since boot goes on."""

    def __init__(self) -> None:
        self.wall, self.up = FakeClock(), 100.0
        self.clock = SteadyClock(self.wall, lambda: self.up)

    def pass_(self, seconds: float) -> None:
        self.up += seconds
        self.wall.advance(seconds)


def test_setting_the_machines_clock_moves_nothing() -> None:
    machine = Machine()
    machine.pass_(60)
    machine.wall.advance(5 * 86_400)
    assert machine.clock.now() == NOON + timedelta(seconds=60)
    machine.wall.advance(-9 * 86_400)
    machine.pass_(60)
    assert machine.clock.now() == NOON + timedelta(seconds=120)
    assert machine.clock.stamp().wall == machine.clock.now()


def test_the_stores_clock_is_followed_and_its_whole_seconds_are_not() -> None:
    machine = Machine()
    machine.pass_(60)
    assert machine.clock.correct(machine.clock.now() - timedelta(seconds=2)) == timedelta(seconds=2)
    assert machine.clock.now() == NOON + timedelta(seconds=60)
    machine.clock.correct(NOON + timedelta(hours=3))
    machine.pass_(1)
    assert machine.clock.now() == NOON + timedelta(hours=3, seconds=1)


def test_where_the_store_has_no_clock_the_machines_is_followed() -> None:
    machine = Machine()
    machine.wall.advance(3600)
    machine.clock.correct(None)
    assert machine.clock.now() == NOON + timedelta(hours=1)


def test_the_time_since_boot_goes_on() -> None:
    first = boottime()
    assert boottime() >= first
    assert abs((SteadyClock(SystemClock()).now() - SystemClock().now()).total_seconds()) < 1
