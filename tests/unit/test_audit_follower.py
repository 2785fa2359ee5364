"""Following a subscription: once in the log however often it comes, acknowledged only when durable, stopped by nothing."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dr.changelog import Entry, LogReader, LogWriter
from dr.components.audit import intake as intake_module
from dr.components.audit.entry import QUARANTINE
from dr.components.audit.follower import AuditFollower
from dr.components.audit.seen import Seen
from dr.errors import FENCED, NOT_AUTHORISED, NOT_FOUND, UNAVAILABLE, UNREACHABLE, DrError, ErrorKind
from dr.ports import Notice, ObjectStore
from dr.run.clock import SystemClock
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.memory import MemoryStore
from tests.unit.fakes import T0, FakeClock
from tests.unit.pubsub_fake import SOURCE, SPEC, STANDING, FakePubsub, log_entry

HOUR = timedelta(hours=1)


def eventually(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        threading.Event().wait(0.01)


def entries(numbers: range, **more: object) -> list[dict[str, object]]:
    now = datetime.now(UTC) - HOUR
    return [log_entry(number, now + timedelta(milliseconds=number), **more) for number in numbers]


class Following:
    """A follower at work on a thread."""

    def __init__(self, api: FakePubsub, vault: ObjectStore) -> None:
        self.notices: list[Notice] = []
        self.error: DrError | None = None
        self._stop = threading.Event()
        follower = AuditFollower(SPEC, api, SystemClock(), pauses_s=(0.05,))
        self._thread = threading.Thread(target=self._follow, args=(follower, vault))
        self._thread.start()

    def _follow(self, follower: AuditFollower, vault: ObjectStore) -> None:
        try:
            follower.follow(vault, self._stop.is_set, self.notices.append)
        except DrError as error:
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def count(self, kind: str) -> int:
        return sum(notice.count for notice in self.notices if notice.kind == kind)


@contextmanager
def following(api: FakePubsub, vault: ObjectStore) -> Iterator[Following]:
    at_work = Following(api, vault)
    try:
        yield at_work
    finally:
        at_work.stop()
    if at_work.error:
        raise at_work.error


def archived(vault: ObjectStore) -> Counter[str]:
    """How often each entry stands in the log, by insertId."""
    found = LogReader(vault, SOURCE).entries()
    return Counter(one.data["entry"]["insertId"] for one in found if not one.key.startswith(QUARANTINE))  # type: ignore[index]


def once(numbers: range) -> Counter[str]:
    return Counter({f"i{number}": 1 for number in numbers})


# --- at least once becomes once


def test_everything_published_is_archived_once_and_acknowledged() -> None:
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault) as at_work:
        api.publish(*entries(range(1000)))
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(1000))
    assert at_work.count("durable") == 1000
    assert all(notice.lag_s is not None for notice in at_work.notices if notice.kind == "durable")


def test_a_redelivery_of_everything_doubles_nothing() -> None:
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault) as at_work:
        api.publish(*entries(range(300)))
        eventually(lambda: api.unacknowledged == 0)
        for times in range(1, 4):
            api.redeliver(everything=True)
            eventually(lambda times=times: at_work.count("repeated") == 300 * times)  # type: ignore[misc]
    assert archived(vault) == once(range(300))


def test_a_redelivery_to_another_process_doubles_nothing() -> None:
    """What the log holds is read back from the log: no memory is needed."""
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault):
        api.publish(*entries(range(300)))
        eventually(lambda: api.unacknowledged == 0)
    api.redeliver(everything=True)
    with following(api, vault) as again:
        eventually(lambda: again.count("repeated") == 300)
        api.publish(*entries(range(300, 310)))
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(310))


def test_the_same_entry_published_twice_is_one_entry() -> None:
    """A sink delivers at least once: other messages, other ids, the same entry."""
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault):
        once_more = entries(range(50))
        api.publish(*once_more, *once_more)
        api.publish(*once_more)
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(50))


def test_lost_acknowledgements_are_made_up_for() -> None:
    api, vault = FakePubsub(forgetful=1), MemoryStore()
    with following(api, vault):
        api.publish(*entries(range(20)))
        eventually(lambda: api.forgetful == 0)
        assert api.unacknowledged
        api.redeliver()
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(20))


def test_entries_differ_by_log_time_and_id() -> None:
    api, vault = FakePubsub(), MemoryStore()
    now = datetime.now(UTC)
    one = log_entry(1, now)
    others = [one, {**one, "insertId": "other"}, {**one, "logName": "projects/p/logs/other"}, log_entry(1, now + HOUR)]
    with following(api, vault):
        api.publish(*others, *others)
        eventually(lambda: api.unacknowledged == 0)
    assert sum(archived(vault).values()) == 4


# --- durable first


def test_nothing_is_acknowledged_while_the_store_refuses() -> None:
    """It takes long, then it goes on: nothing lost, nothing double, and Pub/Sub was asked for patience meanwhile."""
    api, vault = FakePubsub(subscribed=replace(STANDING, ack_deadline=timedelta(seconds=1))), MemoryStore()
    gate = threading.Event()
    faults = Faults((Fault(Action.CALL, "put", "log/.*", call=lambda: gate.wait(20), times=1),))
    with following(api, FaultyStore(vault, faults)):
        api.publish(*entries(range(200)))
        eventually(lambda: any(seconds == 60 for _, seconds in api.extended))
        assert not api.acknowledged
        gate.set()
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(200))


def test_a_store_that_loses_its_replies_doubles_nothing() -> None:
    api, vault = FakePubsub(), MemoryStore()
    faults = Faults((Fault(Action.LOSE_REPLY, "put", "log/.*", times=2),))
    with following(api, FaultyStore(vault, faults)):
        api.publish(*entries(range(100)))
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(100))


def test_a_store_that_breaks_the_writer_begins_another_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is opened anew, and what was in the making is recognised when it comes again."""
    monkeypatch.setattr(intake_module, "LogWriter", _impatient)
    api, vault = FakePubsub(), MemoryStore()
    faults = Faults((Fault(Action.LOSE_REPLY, "put", "log/.*", times=4, kind=UNAVAILABLE),))
    with following(api, FaultyStore(vault, faults)) as at_work:
        api.publish(*entries(range(100)))
        eventually(lambda: at_work.count("reconnected") >= 1)
        api.redeliver()
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(100))


def _impatient(vault: ObjectStore, source: object, clock: object) -> LogWriter:
    return LogWriter(vault, SOURCE, SystemClock(), patience=timedelta(0))


def test_a_pubsub_that_is_away_is_waited_for() -> None:
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault) as at_work:
        api.publish(*entries(range(10)))
        eventually(lambda: api.unacknowledged == 0)
        api.fail(DrError(UNREACHABLE, "gone"))
        api.publish(*entries(range(10, 20)))
        api.fail(None)
        eventually(lambda: api.unacknowledged == 0)
    assert at_work.count("reconnected") >= 1
    assert archived(vault) == once(range(20))


@pytest.mark.parametrize("kind", [NOT_AUTHORISED, NOT_FOUND])
def test_what_a_repetition_does_not_mend_is_raised(kind: ErrorKind) -> None:
    api, vault = FakePubsub(), MemoryStore()
    at_work = Following(api, vault)
    api.publish(*entries(range(5)))
    eventually(lambda: api.unacknowledged == 0)
    api.fail(DrError(kind, "no"))
    eventually(at_work.ended)
    assert at_work.error is not None
    assert at_work.error.kind is kind


def test_of_two_followers_the_one_that_was_overtaken_is_fenced() -> None:
    api, vault = FakePubsub(), MemoryStore()
    old = Following(api, vault)
    api.publish(*entries(range(5)))
    eventually(lambda: api.unacknowledged == 0)
    with LogWriter(vault, SOURCE, SystemClock()) as other:
        other.append([], datetime.now(UTC)).result(5)
    api.publish(*entries(range(5, 10)))
    eventually(old.ended)
    assert old.error is not None
    assert old.error.kind is FENCED
    api.redeliver()
    with following(api, vault):
        eventually(lambda: api.unacknowledged == 0)
    assert archived(vault) == once(range(10))


# --- poison

POISON = {
    "not JSON": b"\x00\xff not json",
    "empty": b"",
    "a list": b"[1, 2]",
    "nothing to know it by": json.dumps({"logName": "l", "timestamp": "2025-05-28T10:00:00Z"}).encode(),
    "no time": json.dumps({"logName": "l", "insertId": "i"}).encode(),
    "a time that is none": json.dumps({"logName": "l", "timestamp": "yesterday", "insertId": "i"}).encode(),
    "wrong types": json.dumps({"logName": 7, "timestamp": "2025-05-28T10:00:00Z", "insertId": ["i"]}).encode(),
    "a lone surrogate": b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"i","x":"\\ud800"}',
    "a number beyond all": b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"i","x":1e999}',
    "no number": b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"i","x":NaN}',
    "a key twice": b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"i","x":1,"x":2}',
    "deep": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "10 MB": b'{"logName":"l","timestamp":"2025-05-28T10:00:00Z","insertId":"i","x":"' + b"x" * 10_000_000 + b'"}',
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON.keys())
def test_a_poison_message_is_kept_counted_and_stops_nothing(data: bytes) -> None:
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault) as at_work:
        api.publish(*entries(range(5)), data, *entries(range(5, 10)))
        eventually(lambda: api.unacknowledged == 0)
        api.redeliver(everything=True)
        eventually(lambda: at_work.count("repeated") == 11)
    assert archived(vault) == once(range(10))
    (kept,) = vault.list(QUARANTINE)
    body = json.loads(vault.get(kept.name))
    assert base64.b64decode(body["data"]) == data
    assert body["reason"]
    assert kept.retain_until is not None
    told = [one for one in LogReader(vault, SOURCE).entries() if one.key.startswith(QUARANTINE)]
    assert [one.data["quarantined"]["object"] for one in told] == [kept.name]  # type: ignore[index]


def test_poison_is_not_acknowledged_before_it_is_kept() -> None:
    api, vault = FakePubsub(), MemoryStore()
    faults = Faults((Fault(Action.ERROR, "put", f"{QUARANTINE}.*", times=3),))
    with following(api, FaultyStore(vault, faults)):
        api.publish(b"poison", *entries(range(3)))
        eventually(lambda: any(name.startswith(QUARANTINE) for _, name in faults.log))
        assert not api.acknowledged
        eventually(lambda: api.redeliver() or api.unacknowledged == 0)
    assert archived(vault) == once(range(3))


# --- watermarks


def test_an_idle_log_says_that_it_lives() -> None:
    api, vault = FakePubsub(), MemoryStore()
    began = datetime.now(UTC)
    with following(api, vault):
        eventually(lambda: LogReader(vault, SOURCE).head().seq >= 3)
    coverage = LogReader(vault, SOURCE).coverage()
    assert len(coverage) == 1
    assert began <= coverage[0][0] < coverage[0][1] <= datetime.now(UTC)


def test_a_silent_pubsub_is_no_idle_one() -> None:
    """Without an answer there is no watermark."""
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault):
        eventually(lambda: LogReader(vault, SOURCE).head().seq >= 1)
        api.fail(DrError(UNREACHABLE, "gone"))
        failed_at = datetime.now(UTC)
        threading.Event().wait(0.8)
        watermark = LogReader(vault, SOURCE).head().watermark
        api.fail(None)
    assert watermark is not None
    assert watermark <= failed_at


def test_pulls_that_hang_are_no_idle_log() -> None:
    """That nothing comes proves nothing: the watermark waits for an answer."""
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault):
        eventually(lambda: LogReader(vault, SOURCE).head().seq >= 1)
        api.hanging = DrError(UNREACHABLE, "swallowed")
        hung_at = datetime.now(UTC)
        threading.Event().wait(0.8)
        watermark = LogReader(vault, SOURCE).head().watermark
        api.hanging = None
        eventually(lambda: (LogReader(vault, SOURCE).head().watermark or hung_at) > hung_at + timedelta(seconds=1))
    assert watermark is not None
    assert watermark <= hung_at


def test_while_a_backlog_is_worked_off_the_watermark_says_how_far_it_is() -> None:
    api, vault = FakePubsub(batch=1), MemoryStore()
    now = datetime.now(UTC)
    for hours in (5, 4, 3):
        api.publish(log_entry(hours, now - hours * HOUR), at=now - hours * HOUR)
    with following(api, vault):
        eventually(lambda: api.unacknowledged == 0)
        first = [unit.watermark for unit in LogReader(vault, SOURCE).units() if unit.entries]
        assert first[-1] is not None
        assert first[-1] <= now - 3 * HOUR
        eventually(lambda: (LogReader(vault, SOURCE).head().watermark or now) > now)


# --- one-shot


def test_catching_up_takes_all_that_was_published_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "QUIET", timedelta(milliseconds=200))
    api, vault = FakePubsub(batch=7), MemoryStore()
    api.publish(*entries(range(100)))
    began = datetime.now(UTC)
    watermark = AuditFollower(SPEC, api, SystemClock()).catch_up(vault, lambda: False)
    assert watermark >= began
    assert archived(vault) == once(range(100))
    eventually(lambda: api.unacknowledged == 0)


def test_catching_up_does_not_believe_the_first_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first delivery takes its time; an answer to another question is no proof that nothing is there."""
    monkeypatch.setattr(intake_module, "QUIET", timedelta(milliseconds=1500))
    api, vault = FakePubsub(slow=True), MemoryStore()
    api.publish(*entries(range(20)))
    caught_up = threading.Thread(target=lambda: AuditFollower(SPEC, api, SystemClock()).catch_up(vault, lambda: False))
    caught_up.start()
    eventually(lambda: api.waiting)
    threading.Event().wait(0.7)
    api.hand_out()
    caught_up.join(20)
    assert archived(vault) == once(range(20))


def test_catching_up_leaves_the_writing_to_a_follower_that_lives() -> None:
    api, vault = FakePubsub(), MemoryStore()
    with following(api, vault):
        eventually(lambda: LogReader(vault, SOURCE).head().seq >= 1)
        began = datetime.now(UTC)
        assert AuditFollower(SPEC, api, SystemClock()).catch_up(vault, lambda: False) >= began


def test_catching_up_waits_for_a_follower_that_began_in_the_meantime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service starts: its first capture finds an empty log, and its follower writes the first segment."""
    monkeypatch.setattr(intake_module, "QUIET", timedelta(milliseconds=200))
    api, vault = FakePubsub(slow=True), MemoryStore()
    api.publish(*entries(range(20)))
    result: list[datetime] = []
    follower = AuditFollower(SPEC, api, SystemClock())
    caught_up = threading.Thread(target=lambda: result.append(follower.catch_up(vault, lambda: False)))
    caught_up.start()
    eventually(lambda: api.waiting)
    with LogWriter(vault, SOURCE, SystemClock()) as other:
        other.append([], datetime.now(UTC)).result(5)
    api.hand_out()
    caught_up.join(20)
    assert result, "it was fenced, and gave up"


def test_catching_up_from_a_subscription_that_is_gone_says_so() -> None:
    with pytest.raises(DrError, match="there is no subscription"):
        AuditFollower(SPEC, FakePubsub(subscribed=None), SystemClock()).catch_up(MemoryStore(), lambda: False)


# --- what was seen


def test_what_was_forgotten_is_read_back() -> None:
    """Memory for a few keys only, entries over many minutes, each asked for twice."""
    vault = MemoryStore()
    found = [(T0 + timedelta(minutes=7 * number), f"key{number}") for number in range(60)]
    seen = Seen(LogReader(vault, SOURCE), None, limit=5)
    with LogWriter(vault, SOURCE, FakeClock(), window_s=0.0) as writer:
        for at, key in found:
            assert seen.add(at, key)
            writer.append([_entry(at, key)], at).result(5)
            seen.durable(at, key)
    assert not any(seen.add(at, key) for at, key in found)
    again = Seen(LogReader(vault, SOURCE), found[-1][0], limit=5)
    assert not any(again.add(at, key) for at, key in reversed(found))
    assert again.add(T0 + timedelta(seconds=1), "new")


def test_what_is_still_being_written_is_never_forgotten() -> None:
    seen = Seen(LogReader(MemoryStore(), SOURCE), None, limit=1)
    found = [(T0 + timedelta(minutes=number), f"key{number}") for number in range(50)]
    assert all(seen.add(at, key) for at, key in found)
    assert not any(seen.add(at, key) for at, key in found)


def test_new_minutes_cost_no_reading() -> None:
    faults = Faults()
    seen = Seen(LogReader(FaultyStore(MemoryStore(), faults), SOURCE), T0)
    assert all(seen.add(T0 + timedelta(minutes=number), "k") for number in range(1, 100))
    assert not faults.log


def _entry(at: datetime, key: str) -> Entry:
    return Entry(at, key, {"entry": {}})
