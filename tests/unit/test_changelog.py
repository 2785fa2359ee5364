"""The change log: durable before it is acknowledged, fenced by numbers, chained by hashes, and never believed unread."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dr.changelog import Entry, Head, LogReader, LogWriter, catch_up_by_other
from dr.changelog import writer as writing
from dr.changelog.entries import SegmentHead, build_text
from dr.changelog.frames import compress, compressing, decompressing, lines
from dr.changelog.units import segment_name, unit_from
from dr.errors import CONFLICT, DAMAGED, FENCED, NEWER_FORMAT, NOT_AUTHORISED, RETENTION_REFUSED, UNAVAILABLE, DrError
from dr.model.ids import SourceId
from dr.ports import ObjectInfo, ObjectStore
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore
from tests.unit.fakes import T0, FakeClock

SOURCE = SourceId("audit", "pubsub", "energent")
SECOND = timedelta(seconds=1)
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["memory", "local"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


def opened(vault: ObjectStore, clock: FakeClock | None = None, **more: object) -> LogWriter:
    return LogWriter(vault, SOURCE, clock or FakeClock(), **{"window_s": 0.0, **more})  # type: ignore[arg-type]


def entry(number: int, **data: object) -> Entry:
    return Entry(T0 + number * SECOND, f"k{number}", {"n": number, **data})


def written(vault: ObjectStore, count: int) -> list[str]:
    """So many segments of one entry each; their names."""
    with opened(vault) as writer:
        for number in range(1, count + 1):
            writer.append([entry(number)], T0 + number * SECOND).result(5)
    return [segment_name(SOURCE, number) for number in range(1, count + 1)]


def keys(vault: ObjectStore, **bounds: datetime) -> list[str]:
    return [one.key for one in LogReader(vault, SOURCE).entries(**bounds)]


def replaced(vault: MemoryStore, name: str, data: bytes) -> None:
    """Other bytes under a name, with everything that the store keeps beside them made to fit."""
    info = vault.stat(name)
    assert info is not None
    vault._entries.pop(name)
    vault.put(name, data, metadata=info.metadata)


# --- appending


def test_what_was_appended_is_read_back_in_order_and_covers_its_time(vault: ObjectStore) -> None:
    written(vault, 5)
    reader = LogReader(vault, SOURCE)
    assert [one.data["n"] for one in reader.entries()] == [1, 2, 3, 4, 5]
    assert reader.coverage() == ((T0 + SECOND, T0 + 5 * SECOND),)
    assert reader.head().seq == 5
    assert all(check.passed for check in reader.verify())


def test_an_empty_log_has_an_empty_head_and_covers_nothing(vault: ObjectStore) -> None:
    reader = LogReader(vault, SOURCE)
    assert reader.head() == Head(0, "", None)
    assert reader.coverage() == ()
    assert keys(vault) == []
    assert all(check.passed for check in reader.verify())


def test_appends_of_one_moment_share_a_segment(vault: ObjectStore) -> None:
    with opened(vault, window_s=0.2) as writer:
        heads = [writer.append([entry(number)], T0 + number * SECOND) for number in range(20)]
        assert {future.result(5).seq for future in heads} == {1}
    assert len(keys(vault)) == 20


def test_a_segment_is_readable_and_linked_without_dr(vault: ObjectStore) -> None:
    """`zstdcat SEGMENT | sha256sum` is what the next one names as `prev`."""
    first, second = written(vault, 2)
    text = zstandard.ZstdDecompressor().decompressobj().decompress(vault.get(first))
    after = zstandard.ZstdDecompressor().decompressobj().decompress(vault.get(second))
    assert f'"prev":"{sha256(text).hexdigest()}"' in after.decode().splitlines()[0]


def test_a_watermark_never_goes_back(vault: ObjectStore) -> None:
    with opened(vault) as writer:
        writer.append([entry(1)], T0 + 9 * SECOND).result(5)
        head = writer.append([entry(2)], T0).result(5)
    assert head.watermark == T0 + 9 * SECOND
    with opened(vault) as again:
        assert again.append([], T0 + SECOND).result(5).watermark == T0 + 9 * SECOND


def test_an_append_too_large_for_one_segment_moves_the_watermark_only_with_its_end(
    vault: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "SEGMENT_BYTES", 1000)
    with opened(vault) as writer:
        writer.append([entry(0)], T0).result(5)
        large = [entry(number, text="x" * 400) for number in range(1, 10)]
        head = writer.append(large, T0 + 99 * SECOND).result(5)
    units = list(LogReader(vault, SOURCE).units())
    assert head.seq == len(units) > 4
    assert [unit.watermark for unit in units[1:-1]] == [T0] * (len(units) - 2)
    assert units[-1].watermark == T0 + 99 * SECOND
    assert len(keys(vault)) == 10


def test_one_entry_may_be_larger_than_a_segment(vault: ObjectStore) -> None:
    with opened(vault) as writer:
        writer.append([entry(1, text="y" * (12 << 20))], T0).result(30)
    assert next(iter(LogReader(vault, SOURCE).entries())).data["text"] == "y" * (12 << 20)


def test_a_barrier_waits_for_what_was_appended_and_writes_nothing(vault: ObjectStore) -> None:
    with opened(vault, window_s=0.1) as writer:
        appended, barrier = writer.append([entry(1)], T0), writer.barrier()
        assert barrier.result(5) == appended.result(5)
        assert writer.barrier().result(5).seq == 1
    assert len(list(LogReader(vault, SOURCE).units())) == 1


def test_data_that_is_not_json_is_refused_before_anything_is_written(vault: ObjectStore) -> None:
    with opened(vault) as writer:
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.append([entry(1, bad=float("nan"))], T0)
        writer.append([entry(2)], T0).result(5)
    assert keys(vault) == ["k2"]


def test_a_closed_writer_takes_nothing_more(vault: ObjectStore) -> None:
    writer = opened(vault)
    writer.close()
    with pytest.raises(DrError, match="closed"):
        writer.append([entry(1)], T0).result(5)


# --- two writers


def test_the_number_is_the_fence(vault: ObjectStore) -> None:
    """Whoever opened first and writes last is fenced, and says so for all that it still had."""
    written(vault, 1)
    old, new = opened(vault), opened(vault)
    new.append([entry(2)], T0 + 2 * SECOND).result(5)
    late = old.append([entry(3)], T0 + 3 * SECOND)
    with pytest.raises(DrError) as refused:
        late.result(5)
    assert refused.value.kind is FENCED
    with pytest.raises(DrError, match="another writer"):
        old.append([entry(4)], T0).result(5)
    with pytest.raises(DrError, match="another writer"):
        old.flush()
    old.close()
    new.close()
    assert keys(vault) == ["k1", "k2"]


def test_of_many_writers_at_once_the_log_stays_one_chain(vault: ObjectStore) -> None:
    def work(tag: int) -> None:
        for number in range(5):
            try:
                with opened(vault) as writer:
                    writer.append([entry(number, tag=tag)], T0 + number * SECOND).result(10)
                    acknowledged.append((tag, number))
            except DrError as error:
                kinds.add(error.kind.code)

    acknowledged: list[tuple[int, int]] = []
    kinds: set[str] = set()
    threads = [threading.Thread(target=work, args=(tag,)) for tag in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds <= {FENCED.code}
    assert all(check.passed for check in LogReader(vault, SOURCE).verify())
    found = [(one.data["tag"], one.data["n"]) for one in LogReader(vault, SOURCE).entries()]
    assert set(acknowledged) <= set(found)  # type: ignore[comparison-overlap]
    assert len(found) == len(set(found))


# --- a store that fails


def test_a_lost_acknowledgement_is_no_fence_and_doubles_nothing(vault: ObjectStore) -> None:
    """I4: the same bytes are put again and found equal."""
    faults = Faults((Fault(Action.LOSE_REPLY, "put", "log/.*", first=1, times=2),))
    with opened(FaultyStore(vault, faults)) as writer:
        for number in range(1, 4):
            writer.append([entry(number)], T0 + number * SECOND).result(5)
    assert keys(vault) == ["k1", "k2", "k3"]


def test_a_store_that_refuses_for_long_breaks_the_writer_and_the_next_one_goes_on(vault: ObjectStore) -> None:
    clock = FakeClock()
    faults = Faults((Fault(Action.LOSE_REPLY, "put", "log/.*", first=1, times=10_000),))
    writer = opened(FaultyStore(vault, faults), clock, patience=timedelta(seconds=30))
    writer.append([entry(1)], T0).result(5)
    with pytest.raises(DrError) as failed:
        writer.append([entry(2)], T0 + SECOND).result(5)
    assert failed.value.kind is UNAVAILABLE
    assert clock.wall > T0 + 30 * SECOND
    writer.close()
    with opened(vault, clock) as again:  # the reply was lost, not the segment: whoever asks finds it
        assert again.head.seq == 2
        again.append([entry(3)], T0 + 2 * SECOND).result(5)
    assert keys(vault) == ["k1", "k2", "k3"]


def test_a_writer_that_may_not_write_says_so_at_once(vault: ObjectStore) -> None:
    faults = Faults((Fault(Action.ERROR, "put", times=9, kind=NOT_AUTHORISED),))
    writer = opened(FaultyStore(vault, faults))
    with pytest.raises(DrError) as failed:
        writer.append([entry(1)], T0).result(5)
    assert failed.value.kind is NOT_AUTHORISED
    assert len(faults.log) - sum(name == "list" for name, _ in faults.log) == 1
    writer.close()


def test_segments_are_locked_beside_the_acknowledgement(vault: ObjectStore) -> None:
    now = datetime.now(UTC)
    with opened(vault, FakeClock(wall=now)) as writer:
        writer.append([entry(1)], T0).result(5)
    assert all(unit.stored.retain_until == now + timedelta(days=14) for unit in LogReader(vault, SOURCE).units())
    with pytest.raises(DrError) as refused:
        vault.delete(segment_name(SOURCE, 1), generation=next(iter(LogReader(vault, SOURCE).units())).stored.generation)
    assert refused.value.kind is RETENTION_REFUSED


def test_a_lock_that_failed_is_made_up_for(vault: ObjectStore) -> None:
    faults = Faults((Fault(Action.ERROR, "retain", times=2),))
    with opened(FaultyStore(vault, faults)) as writer:
        for number in range(1, 6):
            writer.append([entry(number)], T0).result(5)
    assert all(unit.stored.retain_until for unit in LogReader(vault, SOURCE).units())


@pytest.mark.parametrize("action", [Action.KILL_BEFORE, Action.KILL_AFTER])
@pytest.mark.parametrize(("operation", "first"), [("put", 2), ("retain", 0), ("retain", 1)])
def test_a_writer_killed_anywhere_loses_nothing_acknowledged(
    tmp_path: Path, action: Action, operation: str, first: int
) -> None:
    """Killed around a put or a lock; the next writer goes on, and locks what was left without."""
    (tmp_path / "vault").mkdir()
    command = [sys.executable, "-m", "tests.unit.killed_writer", str(tmp_path / "vault"), action, operation, str(first)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    vault = LocalStore(tmp_path / "vault")
    with opened(vault) as writer:
        writer.append([entry(100)], T0 + 100 * SECOND).result(5)
    found = keys(vault)
    assert set(killed.stdout.split()) <= set(found)
    assert len(found) == len(set(found))
    assert all(check.passed for check in LogReader(vault, SOURCE).verify())
    assert all(unit.stored.retain_until for unit in LogReader(vault, SOURCE).units())


# --- damage


def assert_damaged(vault: ObjectStore, name: str) -> None:
    """Reading names the object, and so does the verification."""
    with pytest.raises(DrError) as failed:
        keys(vault)
    assert failed.value.kind in (DAMAGED, NEWER_FORMAT)
    assert name in failed.value.message
    assert any(name in check.detail and not check.passed for check in LogReader(vault, SOURCE).verify())


@pytest.mark.parametrize("position", [4, 40, -1])
def test_a_flipped_bit_is_named(position: int) -> None:
    """I7, also when the store's own checksum was made to fit."""
    vault = MemoryStore()
    names = written(vault, 3)
    data = bytearray(vault.get(names[1]))
    data[position] ^= 8
    replaced(vault, names[1], bytes(data))
    assert_damaged(vault, names[1])


def test_the_same_text_in_other_bytes_is_not_what_was_stored() -> None:
    vault = MemoryStore()
    name = written(vault, 3)[1]
    text = zstandard.ZstdDecompressor().decompressobj().decompress(vault.get(name))
    replaced(vault, name, zstandard.ZstdCompressor(level=1, write_checksum=False).compress(text))
    assert_damaged(vault, name)


def test_a_flip_on_the_way_is_noticed_by_the_reader(vault: ObjectStore) -> None:
    name = written(vault, 2)[1]
    for action in (Action.FLIP, Action.TRUNCATE):
        faults = Faults((Fault(action, "get|stream", name, times=9),))
        assert_damaged(FaultyStore(vault, faults), name)


@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_truncated_segment_is_named(keep: int) -> None:
    vault = MemoryStore()
    name = written(vault, 3)[2]
    replaced(vault, name, vault.get(name)[:keep])
    assert_damaged(vault, name)


def test_a_missing_number_is_named_and_ends_the_coverage() -> None:
    vault = MemoryStore()
    names = written(vault, 5)
    vault._entries.pop(names[2])
    assert_damaged(vault, names[2])
    assert LogReader(vault, SOURCE).coverage() == (
        (T0 + SECOND, T0 + 2 * SECOND),
        (T0 + 4 * SECOND, T0 + 5 * SECOND),
    )
    assert keys(vault, since=T0 + 4 * SECOND) == ["k4", "k5"]  # behind the hole the log is whole


def test_swapped_segments_are_named() -> None:
    vault = MemoryStore()
    names = written(vault, 4)
    second, third = vault.get(names[1]), vault.get(names[2])
    replaced(vault, names[1], third)
    replaced(vault, names[2], second)
    assert_damaged(vault, names[1])


def test_a_segment_rewritten_with_fitting_metadata_breaks_the_chain() -> None:
    """Whoever changes the past has to change every later segment too, and those are locked."""
    vault = MemoryStore()
    names = written(vault, 3)
    honest = list(LogReader(vault, SOURCE).units())[1]
    line = b'{"at":"2025-05-28T10:00:02Z","data":{"n":666},"key":"k2"}\n'
    head = SegmentHead(str(SOURCE), 2, honest.prev, honest.watermark, 1, honest.first, honest.last)
    text = build_text(head, [line])
    data, digest = compress(text), sha256(text).hexdigest()
    metadata = {
        **honest.metadata(), "dr-sha256": digest, "dr-first-sha256": digest,
        "dr-stored-sha256": sha256(data).hexdigest(),
    }  # fmt: skip
    vault._entries.pop(names[1])
    vault.put(names[1], data, metadata=metadata)
    assert_damaged(vault, names[2])


def forged(vault: MemoryStore, name: str, head: SegmentHead) -> None:
    """A segment that is sound in itself, with metadata that fits."""
    text = build_text(head, [])
    data = compress(text)
    unit = unit_from(ObjectInfo(name, 0, "", 0, T0), replace(head, sha256=sha256(text).hexdigest()))
    vault._entries.pop(name, None)
    vault.put(name, data, metadata={**unit.metadata(), "dr-stored-sha256": sha256(data).hexdigest()})


@pytest.mark.parametrize(("source", "seq"), [("audit/pubsub/other", 3), (str(SOURCE), 4)])
def test_a_segment_of_another_log_or_number_is_named(source: str, seq: int) -> None:
    vault = MemoryStore()
    last = written(vault, 2)[-1]
    prev = LogReader(vault, SOURCE).head().sha256
    name = segment_name(SOURCE, 3)
    forged(vault, name, SegmentHead(source, seq, prev, T0 + 3 * SECOND, 0, None, None))
    (failed, *_) = [check for check in LogReader(vault, SOURCE).verify() if not check.passed]
    assert failed.name == name
    assert last not in failed.detail


def test_a_segment_that_cannot_be_read_does_not_stop_the_capture() -> None:
    """Its metadata gone and its bytes spoilt: it is named by every reader, and the log goes on behind it."""
    vault = MemoryStore()
    name = written(vault, 3)[2]
    vault._entries.pop(name)
    vault.put(name, b"nothing that is known")
    with opened(vault) as writer:
        writer.append([entry(4)], T0 + 4 * SECOND).result(5)
    assert_damaged(vault, name)
    assert LogReader(vault, SOURCE).coverage()[-1] == (T0 + 4 * SECOND, T0 + 4 * SECOND)


def test_without_metadata_the_segments_themselves_are_asked() -> None:
    vault = MemoryStore()
    for name in written(vault, 3):
        data = vault.get(name)
        vault._entries.pop(name)
        vault.put(name, data)
    assert keys(vault) == ["k1", "k2", "k3"]
    assert LogReader(vault, SOURCE).coverage() == ((T0 + SECOND, T0 + 3 * SECOND),)


def test_a_newer_format_is_refused_not_guessed() -> None:
    vault = MemoryStore()
    text = b'{"format":2,"kind":"segment","something":"new"}\n'
    vault.put(segment_name(SOURCE, 1), compress(text))
    with pytest.raises(DrError) as refused:
        keys(vault)
    assert refused.value.kind is NEWER_FORMAT


def test_only_what_can_hold_the_time_is_read(vault: ObjectStore) -> None:
    names = written(vault, 9)
    faults = Faults()
    found = list(LogReader(FaultyStore(vault, faults), SOURCE).entries(since=T0 + 4 * SECOND, until=T0 + 5 * SECOND))
    assert [one.key for one in found] == ["k4", "k5"]
    assert {name for operation, name in faults.log if operation in ("get", "stream")} == {names[3], names[4]}


# --- following from elsewhere


def test_who_catches_up_waits_for_a_follower_that_lives(vault: ObjectStore) -> None:
    clock = FakeClock()
    writer = opened(vault, clock)
    writer.append([], T0).result(5)

    class Moving(FakeClock):
        """While one waits, the other goes on."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            writer.append([], self.wall).result(5)

    moving = Moving()
    reached = catch_up_by_other(
        LogReader(vault, SOURCE), T0 + 3 * SECOND, moving, heartbeat=10 * SECOND, recent=timedelta.max
    )
    assert reached is not None
    assert reached >= T0 + 3 * SECOND
    writer.close()


def test_who_catches_up_finds_nobody_after_three_heartbeats(vault: ObjectStore) -> None:
    written(vault, 1)
    clock = FakeClock()
    reader = LogReader(vault, SOURCE)
    later = T0 + timedelta(hours=1)
    assert catch_up_by_other(reader, later, clock, heartbeat=10 * SECOND, recent=timedelta.max) is None
    assert 30 < clock.ticks < 40
    clock = FakeClock(wall=T0 + timedelta(days=4000))
    assert catch_up_by_other(reader, later, clock, heartbeat=10 * SECOND) is None
    assert clock.ticks == 0  # the last segment is old: nobody is waited for


# --- frames and lines


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(1, 97))
def test_lines_are_the_same_however_the_text_is_cut(parts: Sequence[bytes], size: int) -> None:
    text = b"\n".join(parts)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    whole = text.split(b"\n")
    expected = [line + b"\n" for line in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    assert list(lines(pieces)) == expected


@given(st.lists(st.binary(max_size=5000), max_size=10), st.integers(1, 700))
def test_frames_come_back_whole_or_not_at_all(texts: Sequence[bytes], size: int) -> None:
    stored = b"".join(compressing(texts))

    def cut(data: bytes) -> Iterator[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    assert b"".join(decompressing(cut(stored), "x")) == b"".join(texts)
    for spoilt in (stored[:-1], stored + b"\0"):
        with pytest.raises(DrError) as failed:
            list(decompressing(cut(spoilt), "x"))
        assert failed.value.kind is DAMAGED


def test_fences_are_conflicts_of_the_store() -> None:
    """What the fence rests on: a name is written once."""
    vault = MemoryStore()
    name = written(vault, 1)[0]
    with pytest.raises(DrError) as refused:
        vault.put(name, b"something else")
    assert refused.value.kind is CONFLICT
