"""Real change logs, real packs, and prunes over years of them: what was appended stays readable for as long as the row says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from dr.changelog import Entry, LogReader, LogWriter
from dr.changelog.packs import Packing
from dr.model.ids import Slot, SourceId
from dr.model.points import PointManifest
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.plan.retain import Rule
from dr.record.codec import encode, sha256
from dr.record.summary import metadata_of
from dr.run.engine import Engine
from dr.run.prune import Options
from dr.run.runner import retain
from tests.unit.fakes import FakeClock
from tests.unit.prune_world import DAY, World

SOURCE = SourceId("audit", "pubsub", "sink")
EVERY = timedelta(hours=6)


class LogWorld(World):
    """An audit log: an entry every six hours, a pack a day."""

    def __init__(self, retention: timedelta = 30 * DAY) -> None:
        super().__init__(clock=FakeClock(), rules={SOURCE: Rule(retention)}, rule=Rule(retention))
        self.entries: list[datetime] = []

    def day(self, *, pack: bool = True, lock: bool = True) -> None:
        for _ in range(4):
            self.pass_(EVERY)
            with LogWriter(self.vault, SOURCE, self.clock, window_s=0.0) as writer:
                writer.append([Entry(self.now, f"e{len(self.entries)}", {})], self.now).result(30)
            self.entries.append(self.now)
        if pack:
            self.pack(lock=lock)

    def pack(self, *, lock: bool = True) -> PointManifest:
        slot, packing = Slot(SOURCE, self.now), Packing(SOURCE, "audit-pack")
        hold = self.journal().claim(slot.id)
        outcomes = Engine(self.clock, renew_every=None).run(hold, packing.steps(slot, self.vault))
        draft = packing.draft(outcomes)
        (changes,) = draft.artefacts
        until = self.now + self.rules[SOURCE].retention
        manifest = PointManifest(
            slot=slot, epoch=1, method=draft.method, as_of=draft.as_of, started=self.now, committed=self.now,
            artefacts=(replace(changes, sha256=sha256(self.vault.get(changes.name))),), counts=draft.counts, checks=(),
            survives=tuple(FailureDomain), retain_until=until, tool_version="0", details=draft.details,
        )  # fmt: skip
        if lock:
            retain(self.vault, changes.name, changes.generation, until)
        info = self.vault.put(manifest.name, encode(manifest), metadata=metadata_of(manifest))
        retain(self.vault, info.name, info.generation, until)
        hold.end(RunState.COMMITTED, "", point=manifest.name)
        return manifest

    def segments(self) -> int:
        return len(self.objects("log/"))

    def readable_since(self, age: timedelta) -> None:
        """Every entry of that time is there, once, in a verified chain."""
        since = self.now - age
        wanted = [at for at in self.entries if at >= since]
        assert [entry.at for entry in LogReader(self.vault, SOURCE).entries(since=since)] == wanted


def test_segments_go_after_their_packs_and_their_locks_and_packs_after_their_retention() -> None:
    world = LogWorld()
    most = 0
    for day in range(70):
        world.day()
        world.prune(Options(allow_share=0.1))
        world.readable_since(min(day, 30) * DAY)
        most = max(most, world.segments())
    # 14 days locked, 7 days of grace, and the day that the prune itself runs in
    assert most <= (14 + 7 + 2) * 4
    # 30 days, the one that reaches back, 7 days of grace
    assert len(world.manifests()) <= 30 + 1 + 7 + 1


def test_without_packs_no_segment_goes_and_a_late_pack_lets_them_go() -> None:
    world = LogWorld()
    world.day()
    for _ in range(40):
        world.day(pack=False)
        world.prune(Options(allow_share=1.0))
    assert world.segments() == 41 * 4 - 4
    world.day()
    for _ in range(9):
        world.prune(Options(allow_share=1.0))
        world.day()
    assert world.segments() <= (14 + 9) * 4
    world.readable_since(30 * DAY)


def test_a_pack_that_is_not_locked_for_the_full_time_lets_no_segment_go() -> None:
    world = LogWorld()
    for _ in range(40):
        world.day(lock=False)
        world.prune(Options(allow_share=1.0))
    assert world.segments() == 160


def test_with_a_retention_shorter_than_the_segments_lock_a_pack_waits_for_its_segments() -> None:
    world = LogWorld(retention=5 * DAY)
    for day in range(60):
        world.day()
        world.prune(Options(allow_share=0.5))
        world.readable_since(min(day, 5) * DAY)
    assert world.segments() <= (14 + 7 + 2) * 4
    assert len(world.manifests()) <= 14 + 7 + 7 + 3
