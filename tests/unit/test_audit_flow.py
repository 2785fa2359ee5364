"""From the subscription to a pack, and from the vault alone back to every entry; and what is said when the vault is damaged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from dr.changelog import LogReader
from dr.changelog.packs import CHOOSE
from dr.components.audit import intake
from dr.components.audit.access import LOG, PACK
from dr.components.audit.covering import coverage_of
from dr.components.audit.entry import fingerprint, key_of
from dr.components.audit.follower import AuditFollower
from dr.components.audit.inspector import AuditPackInspector
from dr.components.audit.restoring import ARCHIVE, AuditRestorer
from dr.components.audit.source import AuditSource
from dr.errors import DAMAGED, NOT_AUTHORISED, TARGET_EXISTS, UNREACHABLE, DrError
from dr.model.ids import Slot
from dr.model.plans import Target
from dr.model.points import Coverage, PointManifest
from dr.model.strategy import FailureDomain
from dr.ports import ObjectInfo, ObjectStore, RestoreWork
from dr.record.catalogue import list_points, read_point
from dr.record.journal import Journal
from dr.record.verify import failures, verify_manifest
from dr.run.clock import SystemClock
from dr.run.engine import Engine
from dr.run.runner import Captured, CaptureRunner, Terms
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore
from dr.vendors.sinks import Sink
from tests.unit.fakes import ALL_DOMAINS, run_all
from tests.unit.pubsub_fake import SOURCE, STANDING, FakePubsub, FakeSinks, log_entry
from tests.unit.pubsub_fake import SPEC as SLOW

HOUR = timedelta(hours=1)
DRILL = Target(isolated=True, prefix="drill-1-")
SPEC = replace(SLOW, options={**SLOW.options, "heartbeat": "20ms"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "QUIET", timedelta(milliseconds=60))


def entries(numbers: range, at: datetime) -> list[dict[str, object]]:
    return [log_entry(number, at + timedelta(milliseconds=number)) for number in numbers]


@dataclass
class World:
    """One subscription, one vault, one control repository."""

    folder: Path
    api: FakePubsub = field(default_factory=FakePubsub)
    vault: MemoryStore = field(default_factory=MemoryStore)
    control: MemoryStore = field(default_factory=MemoryStore)
    clock: SystemClock = field(default_factory=SystemClock)
    slots: int = 0

    @property
    def source(self) -> AuditSource:
        return AuditSource(SPEC, self.api, FakeSinks(), self.clock)

    def catch_up(self) -> datetime:
        return AuditFollower(SPEC, self.api, self.clock).catch_up(self.vault, lambda: False)

    def pack(self) -> PointManifest:
        self.slots += 1
        journal = Journal(self.control, self.clock, "runs")
        inspectors = {PACK: AuditPackInspector()}
        runner = CaptureRunner(journal, self.clock, Engine(self.clock, lambda _: None), inspectors, "test")
        slot = Slot(SOURCE, datetime(2025, 5, self.slots, tzinfo=UTC))
        result = runner.capture(self.source, slot, self.vault, Terms(timedelta(days=7 * 365), ALL_DOMAINS))
        assert result.captured is Captured.COMMITTED, result.error
        assert result.point
        return read_point(self.vault, result.point).manifest

    def coverage(self) -> tuple[Coverage, ...]:
        return coverage_of(SPEC, self.vault, ALL_DOMAINS)

    def restore(
        self, origin: PointManifest | Coverage, at: datetime, target: Target = DRILL
    ) -> tuple[AuditRestorer, RestoreWork, dict[str, object]]:
        method = PACK if isinstance(origin, PointManifest) else LOG
        restorer = AuditRestorer(method, self.open, self.folder)
        item = restorer.outline(SPEC, origin, at, FailureDomain.SOURCE, target)
        manifest = origin if isinstance(origin, PointManifest) else None
        work = RestoreWork("plan", item, manifest, self.vault)
        outcomes = run_all(restorer.steps(work))
        return restorer, work, outcomes  # type: ignore[return-value]

    def open(self, url: str) -> ObjectStore:
        return LocalStore(Path(url.removeprefix("file://")))

    def forget_segments(self) -> None:
        """As pruning does when packs hold them."""
        for name in [name for name in self.vault._entries if name.startswith("log/")]:
            del self.vault._entries[name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def published(world: World, numbers: range, at: datetime) -> None:
    world.api.publish(*entries(numbers, at))


def contents(restored: tuple[AuditRestorer, RestoreWork, dict[str, object]]) -> dict[str, str]:
    restorer, work, outcomes = restored
    assert [check for check in restorer.checks(work, outcomes) if not check.passed] == []  # type: ignore[arg-type]
    return {item.path: item.sha256 for item in restorer.contents(work, outcomes)}  # type: ignore[arg-type]


def expected(numbers: range, at: datetime) -> dict[str, str]:
    return {key_of(body): fingerprint(body) for body in entries(numbers, at)}


# --- packs


def test_packs_follow_each_other_and_hold_everything(world: World) -> None:
    began = datetime.now(UTC) - HOUR
    published(world, range(100), began)
    first = world.pack()
    published(world, range(100, 150), began)
    second = world.pack()
    assert second.details["first_seq"] == int(str(first.details["last_seq"])) + 1
    assert second.details["prev"] == first.details["last_sha256"]
    assert (first.counts["entries"], second.counts["entries"]) == (100, 50)
    assert first.as_of < second.as_of
    world.forget_segments()
    assert len(list(LogReader(world.vault, SOURCE).entries())) == 150
    (coverage,) = world.coverage()
    assert coverage.end == second.as_of
    assert all(check.passed for check in LogReader(world.vault, SOURCE).verify())


def test_following_goes_on_behind_a_pack_without_its_segments(world: World) -> None:
    """Opening, recognising and chaining need the packs alone."""
    began = datetime.now(UTC) - HOUR
    published(world, range(30), began)
    world.pack()
    world.forget_segments()
    world.api.redeliver(everything=True)
    published(world, range(30, 40), began)
    world.catch_up()
    found = [one.data["entry"]["insertId"] for one in LogReader(world.vault, SOURCE).entries()]  # type: ignore[index]
    assert found == [f"i{number}" for number in range(40)]
    assert all(check.passed for check in LogReader(world.vault, SOURCE).verify())


def test_a_pack_is_readable_without_dr(world: World) -> None:
    published(world, range(5), datetime.now(UTC))
    point = world.pack()
    text = zstandard.ZstdDecompressor().decompressobj().decompress(world.vault.get(point.artefacts[0].name))
    bodies = [json.loads(line) for line in text.splitlines()]
    assert [body["data"]["entry"]["insertId"] for body in bodies if "data" in body] == [f"i{n}" for n in range(5)]


def test_the_artefacts_of_a_pack_are_locked_for_the_rows_retention_quarantine_included(world: World) -> None:
    world.api.publish(b"poison", *entries(range(3), datetime.now(UTC)))
    point = world.pack()
    assert point.counts["quarantined"] == 1
    assert [artefact.role for artefact in point.artefacts] == ["audit-pack/changes", "audit/quarantined"]
    held = [world.vault.stat(artefact.name) for artefact in point.artefacts]
    assert all(info and info.retain_until == point.retain_until for info in held)


def test_a_pack_that_was_begun_is_continued_with_the_same_segments(world: World) -> None:
    published(world, range(10), datetime.now(UTC))
    slot = Slot(SOURCE, datetime(2025, 5, 28, tzinfo=UTC))
    steps = world.source.capture(slot, world.vault, datetime.now(UTC))
    once = run_all(steps)
    again = run_all(
        [replace(step, run=(lambda _, o=once[CHOOSE]: o)) if step.name == CHOOSE else step for step in steps]
    )  # type: ignore[misc]
    assert again["pack"] == once["pack"]


def test_of_several_attempts_the_log_is_what_the_manifest_names(world: World) -> None:
    """An attempt that died left its own, with fewer segments, beside it."""
    began = datetime.now(UTC) - HOUR
    published(world, range(10), began)
    world.catch_up()
    slot = Slot(SOURCE, datetime(2025, 5, 1, tzinfo=UTC))
    died = run_all(world.source.capture(slot, world.vault, datetime.now(UTC)))["pack"]
    entry = world.vault._entries.pop(str(died["name"]))
    left = str(died["name"]).replace("/1/", "/0/")
    world.vault.put(left, entry.data, metadata=entry.info.metadata)
    published(world, range(10, 20), began)
    point = world.pack()
    assert point.slot == slot
    world.forget_segments()
    assert LogReader(world.vault, SOURCE).head().seq == point.details["last_seq"]
    assert len(list(LogReader(world.vault, SOURCE).entries())) == 20


def flipped(vault: MemoryStore, name: str) -> None:
    data = bytearray(vault.get(name))
    data[len(data) // 2] ^= 1
    info = vault.stat(name)
    assert info
    entry = vault._entries.pop(name)
    vault._entries[name] = replace(entry, data=bytes(data))


@pytest.mark.parametrize("what", ["changes.zst", "quarantine/"])
def test_a_damaged_pack_is_named(world: World, what: str) -> None:
    world.api.publish(b"poison", *entries(range(20), datetime.now(UTC)))
    point = world.pack()
    name = next(artefact.name for artefact in point.artefacts if what in artefact.name)
    flipped(world.vault, name)
    checks = verify_manifest(point, AuditPackInspector(), world.vault)
    assert name in failures(checks)


def test_a_quarantined_message_that_was_changed_before_the_commit_is_named(world: World) -> None:
    """Nobody has written down its hash but the log itself."""
    world.api.publish(b"poison")
    world.catch_up()
    (kept,) = world.vault.list("quarantine/")
    world.vault._entries.pop(kept.name)
    world.vault.put(kept.name, b"something else")
    source = world.source
    outcomes = run_all(source.capture(Slot(SOURCE, datetime(2025, 5, 28, tzinfo=UTC)), world.vault, datetime.now(UTC)))
    draft = source.draft(outcomes)
    found = AuditPackInspector().inspect(world.vault, draft.artefacts, draft.details)
    assert kept.name in failures(found.checks)


def test_a_pack_that_is_gone_is_named_not_skipped(world: World) -> None:
    published(world, range(20), datetime.now(UTC))
    point = world.pack()
    world.forget_segments()
    name = point.artefacts[0].name
    del world.vault._entries[name]
    with pytest.raises(DrError, match=name):
        list(LogReader(world.vault, SOURCE).entries())


def test_a_pack_of_other_segments_is_not_what_the_manifest_pins(world: World) -> None:
    """Also one that is sound in itself."""
    began = datetime.now(UTC) - HOUR
    published(world, range(10), began)
    first = world.pack()
    published(world, range(10, 20), began)
    second = world.pack()
    other, name = world.vault._entries[second.artefacts[0].name], first.artefacts[0].name
    info = ObjectInfo(name, other.info.size, other.info.crc32c, first.artefacts[0].generation, other.info.created)
    world.vault._entries[name] = replace(other, info=replace(info, metadata=other.info.metadata))
    assert "chain of segments" in failures(verify_manifest(first, AuditPackInspector(), world.vault))


def test_a_pack_with_a_changed_entry_breaks_its_own_chain(world: World) -> None:
    """Also where nobody has written down the hash of the whole: before a commit."""
    began = datetime.now(UTC) - HOUR
    for start in (0, 10, 20):
        published(world, range(start, start + 10), began)
        world.catch_up()
    point = world.pack()
    change = point.artefacts[0]
    text = zstandard.ZstdDecompressor().decompressobj().decompress(world.vault.get(change.name))
    entry = world.vault._entries.pop(change.name)
    forged = text.replace(b"person0@energent", b"person9@energent", 1)
    world.vault.put(change.name, zstandard.ZstdCompressor().compress(forged), metadata=entry.info.metadata)
    found = AuditPackInspector().inspect(world.vault, [change], point.details)
    assert [check.name for check in found.checks if not check.passed] == [change.name]


def test_a_pack_cut_between_two_segments_is_named(world: World) -> None:
    """A whole frame of whole segments, only fewer; its metadata still tells of all."""
    began = datetime.now(UTC) - HOUR
    for start in (0, 10):
        published(world, range(start, start + 10), began)
        world.catch_up()
    point = world.pack()
    world.forget_segments()
    name = point.artefacts[0].name
    text = zstandard.ZstdDecompressor().decompressobj().decompress(world.vault.get(name))
    last = text.rindex(b'{"entries":')
    entry = world.vault._entries.pop(name)
    world.vault.put(name, zstandard.ZstdCompressor().compress(text[:last]), metadata=entry.info.metadata)
    with pytest.raises(DrError, match=name):
        list(LogReader(world.vault, SOURCE).entries())
    assert name in failures(verify_manifest(point, AuditPackInspector(), world.vault))


# --- restores


def test_everything_comes_back_from_the_vault_alone(world: World) -> None:
    began = datetime.now(UTC) - HOUR
    published(world, range(60), began)
    world.pack()
    published(world, range(60, 80), began)
    world.catch_up()
    world.api.subscribed = None
    world.api.fail(DrError(UNREACHABLE, "the subscription is gone"))
    (coverage,) = world.coverage()
    assert contents(world.restore(coverage, coverage.end)) == expected(range(80), began)


def test_a_pack_brings_back_the_log_up_to_it(world: World) -> None:
    began = datetime.now(UTC) - HOUR
    published(world, range(60), began)
    world.pack()
    published(world, range(60, 70), began)
    second = world.pack()
    published(world, range(70, 80), began)
    world.pack()
    assert contents(world.restore(second, second.as_of)) == expected(range(70), began)


def test_an_instant_brings_back_what_had_happened_by_then(world: World) -> None:
    """Also what arrived later: entries come late, and belong to their own time."""
    now = datetime.now(UTC)
    world.catch_up()
    early, late = entries(range(3), now), entries(range(10, 12), now + HOUR)
    world.api.publish(*late)
    world.catch_up()
    world.api.publish(*early)
    world.catch_up()
    (coverage,) = world.coverage()
    middle = replace(coverage, end=now + 2 * HOUR)
    assert contents(world.restore(middle, now + HOUR / 2)) == {key_of(body): fingerprint(body) for body in early}


def test_an_instant_cuts_through_a_segment(world: World) -> None:
    began = datetime.now(UTC) - HOUR
    world.catch_up()
    published(world, range(20), began)
    world.catch_up()
    (coverage,) = world.coverage()
    cut = began + timedelta(milliseconds=9)
    assert contents(world.restore(replace(coverage, start=began), cut)) == expected(range(10), began)


def test_at_the_end_of_what_is_covered_all_that_arrived_comes_back(world: World) -> None:
    """While a backlog is worked off, more is there than the watermark says: none of it is withheld."""
    now = datetime.now(UTC)
    world.api.publish(log_entry(1, now - 3 * HOUR), at=now - 3 * HOUR)
    world.api.publish(log_entry(2, now - HOUR), at=now - HOUR)
    world.catch_up()
    (coverage,) = world.coverage()
    behind = replace(coverage, end=now - 2 * HOUR)
    assert len(contents(world.restore(behind, behind.end))) == 2


def test_a_restore_goes_into_a_new_place_only_and_a_drill_leaves_nothing(world: World) -> None:
    published(world, range(5), datetime.now(UTC))
    world.catch_up()
    (coverage,) = world.coverage()
    restorer, work, outcomes = world.restore(coverage, coverage.end)
    where = work.item.target.names[ARCHIVE]
    assert "drill-1-" in where
    with pytest.raises(DrError) as refused:
        restorer.outline(SPEC, coverage, coverage.end, FailureDomain.SOURCE, DRILL)
    assert refused.value.kind is TARGET_EXISTS
    assert all(check.passed for check in restorer.teardown(work, outcomes))  # type: ignore[arg-type]
    assert list(world.open(where).list()) == []


def test_the_archive_of_a_real_restore_stays_and_any_tool_reads_it(world: World) -> None:
    at = datetime(2026, 1, 31, 23, 59, 59, 990_000, tzinfo=UTC)
    published(world, range(20), at)
    world.catch_up()
    (coverage,) = world.coverage()
    restorer, work, outcomes = world.restore(coverage, coverage.end, Target(isolated=False))
    assert all(check.passed for check in restorer.teardown(work, outcomes))  # type: ignore[arg-type]
    store = world.open(work.item.target.names[ARCHIVE])
    names = [info.name for info in store.list()]
    assert names == ["2026-01-31/00001.jsonl.zst", "2026-02-01/00001.jsonl.zst", "index.json"]
    text = zstandard.ZstdDecompressor().decompressobj().decompress(store.get(names[0]))
    assert json.loads(text.splitlines()[0]) == entries(range(1), at)[0]


def test_a_hole_is_said_and_the_rest_is_not_withheld(world: World) -> None:
    began = datetime.now(UTC) - HOUR
    for start in range(0, 50, 10):
        published(world, range(start, start + 10), began)
        world.catch_up()
    units = [unit for unit in LogReader(world.vault, SOURCE).units() if unit.entries]
    del world.vault._entries[units[2].name]
    coverage = world.coverage()[-1]
    restorer, work, outcomes = world.restore(coverage, coverage.end)
    failed = [check for check in restorer.checks(work, outcomes) if not check.passed]  # type: ignore[arg-type]
    assert units[2].name in failed[0].detail
    assert len(list(restorer.contents(work, outcomes))) == 40  # type: ignore[arg-type]


def test_a_damaged_segment_stops_the_restore_and_is_named(world: World) -> None:
    published(world, range(10), datetime.now(UTC))
    world.catch_up()
    (coverage,) = world.coverage()
    unit = next(unit for unit in LogReader(world.vault, SOURCE).units() if unit.entries)
    flipped(world.vault, unit.name)
    with pytest.raises(DrError, match=unit.name) as failed:
        world.restore(coverage, coverage.end)
    assert failed.value.kind is DAMAGED


@pytest.mark.parametrize("other", [b"no frame", zstandard.ZstdCompressor().compress(b"{}\n" * 10)])
def test_a_damaged_archive_is_named(world: World, other: bytes) -> None:
    published(world, range(10), datetime.now(UTC))
    world.catch_up()
    (coverage,) = world.coverage()
    restorer, work, outcomes = world.restore(coverage, coverage.end)
    store = world.open(work.item.target.names[ARCHIVE])
    name = next(info.name for info in store.list() if info.name.endswith(".zst"))
    store.put(name, other, if_generation=None)
    with pytest.raises(DrError, match=name):
        list(restorer.contents(work, outcomes))  # type: ignore[arg-type]


def test_a_quarantined_message_that_is_gone_is_named(world: World) -> None:
    world.api.publish(b"poison")
    world.catch_up()
    (coverage,) = world.coverage()
    (kept,) = world.vault.list("quarantine/")
    del world.vault._entries[kept.name]
    restorer, work, outcomes = world.restore(coverage, coverage.end)
    failed = [check for check in restorer.checks(work, outcomes) if not check.passed]  # type: ignore[arg-type]
    assert kept.name in failed[0].detail


# --- checks


def failed_checks(**changes: object) -> list[str]:
    api = FakePubsub(subscribed=replace(STANDING, **changes))  # type: ignore[arg-type]
    return [check.name for check in AuditSource(SPEC, api, FakeSinks(), SystemClock()).check() if not check.passed]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, None),
        ({"topic": "_deleted-topic_"}, "topic"),
        ({"retention": timedelta(days=1)}, "retention"),
        ({"expires": timedelta(days=31)}, "expiry"),
        ({"filtered": 'attributes.x="y"'}, "filter"),
        ({"detached": True}, "delivery"),
        ({"pushes": True}, "delivery"),
        ({"dead_letters": "projects/p/topics/dead"}, "dead letters"),
        ({"ack_deadline": timedelta(seconds=1)}, "acknowledgement deadline"),
    ],
)
def test_every_way_to_lose_an_entry_unseen_is_checked(changes: dict[str, object], name: str | None) -> None:
    assert failed_checks(**changes) == ([name] if name else [])


def test_missing_permissions_are_named() -> None:
    api = FakePubsub(missing=("pubsub.subscriptions.consume",))
    checks = AuditSource(SPEC, api, FakeSinks(), SystemClock()).check()
    (failed,) = [check for check in checks if not check.passed]
    assert "pubsub.subscriptions.consume" in failed.detail


@pytest.mark.parametrize(
    ("sinks", "passed"),
    [
        (FakeSinks(), True),
        (FakeSinks(found=None), False),
        (FakeSinks(found=Sink("storage.googleapis.com/bucket", "", False, "")), False),
        (FakeSinks(found=Sink("pubsub.googleapis.com/projects/p/topics/energent-security", "", True, "")), False),
        (FakeSinks(error=DrError(NOT_AUTHORISED, "no")), False),
        (FakeSinks(error=DrError(UNREACHABLE, "gone")), False),
    ],
)
def test_the_sink_is_looked_at_and_who_may_not_read_it_fails(sinks: FakeSinks, passed: bool) -> None:
    checks = AuditSource(SPEC, FakePubsub(), sinks, SystemClock()).check()
    (sink,) = [check for check in checks if check.name.startswith("sink")]
    assert sink.passed is passed


def test_a_subscription_that_is_gone_is_a_failed_check() -> None:
    checks = AuditSource(SPEC, FakePubsub(subscribed=None), FakeSinks(), SystemClock()).check()
    assert [check.passed for check in checks] == [False]


def test_points_of_the_log_are_in_the_catalogue(world: World) -> None:
    published(world, range(3), datetime.now(UTC))
    point = world.pack()
    (listed,) = list_points(world.vault)
    assert (listed.method, listed.as_of) == (PACK, point.as_of)
