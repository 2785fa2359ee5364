"""The end of a change log is found by listing what is new since the last look, and by listing all when that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from dr.app.core import App
from dr.app.tails import WHOLE_EVERY
from dr.app.watched import with_coverage
from dr.changelog import Entry, LogReader, LogWriter
from dr.changelog.units import segment_name
from dr.components.wiring import Kit
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import ObjectInfo, ObjectStore
from dr.record.layout import ensure_format
from dr.record.watched import Watched
from tests.unit.fakes import FakeClock
from tests.unit.test_looking import ROWS, settings
from tests.unit.watched_world import CONFIG, NOW, S


@dataclass
class Listed:
    """A store that counts what its listings gave."""

    inner: ObjectStore
    given: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        for info in self.inner.list(prefix, start_after=start_after):
            self.given.append(info.name)
            yield info


@dataclass
class World:
    app: App
    clock: FakeClock
    vault: Listed
    known: Watched = field(default_factory=lambda: Watched(NOW))
    trouble: list[str] = field(default_factory=list)

    def write(self, count: int) -> None:
        """That many segments, one a second."""
        with LogWriter(self.vault.inner, CONFIG, self.clock, window_s=0.0) as log:
            for _ in range(count):
                self.clock.advance(1)
                now = self.clock.now()
                log.append([Entry(now, "key", {})], now).result(10)

    def look(self) -> int:
        """How many objects were listed."""
        self.vault.given.clear()
        self.known = with_coverage(self.app, self.known, self.trouble)
        return len(self.vault.given)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """Seconds since the start."""
        return [((c.start - NOW) / S, (c.end - NOW) / S) for c in self.known.coverage]


def coverage(spec: SourceSpec, vault: ObjectStore, survives: tuple[FailureDomain, ...]) -> tuple[Coverage, ...]:
    spans = LogReader(vault, spec.id).coverage()
    return tuple(Coverage(spec.id, "config-log", start, end, timedelta(0), survives) for start, end in spans)


@pytest.fixture
def world(tmp_path: Path) -> World:
    clock = FakeClock(NOW)
    app = App(settings(tmp_path), ROWS, clock=clock)
    kit = Kit(source=lambda spec: pytest.fail("nobody captures"), inspectors=(), restorers=(), coverage=coverage)
    app.__dict__["kits"] = {row.component: kit for row in ROWS.objectives}
    app._vaults["config"] = vault = Listed(app.store(f"file://{tmp_path}/config"))
    ensure_format(vault.inner, "vault")
    return World(app, clock, vault)


def test_only_what_is_new_is_listed(world: World) -> None:
    world.write(30)
    first = world.look()
    assert first >= 30
    assert world.spans == [(1, 30)]
    world.write(3)
    assert world.look() == 3
    assert world.spans == [(1, 33)]
    assert world.look() == 0
    assert world.trouble == []


def test_a_hole_is_seen_and_ends_the_interval(world: World) -> None:
    world.write(5)
    world.look()
    world.write(3)
    gone = world.vault.inner.stat(segment_name(CONFIG, 6))
    assert gone is not None
    world.vault.inner.delete(gone.name, generation=gone.generation)
    assert world.look() > 3, "all is listed"
    assert world.spans == [(1, 5), (7, 8)]


def test_the_whole_log_is_listed_now_and_then(world: World) -> None:
    world.write(4)
    world.look()
    world.clock.advance(WHOLE_EVERY.total_seconds() - 1)
    assert world.look() == 0
    world.clock.advance(1)
    assert world.look() >= 4


def test_an_empty_log_has_no_end(world: World) -> None:
    world.look()
    assert (world.known.coverage, world.known.tails, world.trouble) == ((), (), [])
    world.write(1)
    world.look()
    assert world.spans == [(1, 1)]
