"""The service: killed, stopped, fenced, refused by its store, out of disk. It converges by itself."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from dr.errors import UNAVAILABLE, DrError
from dr.plan.due import Schedule
from dr.ports import ObjectStore
from dr.record.catalogue import list_points
from dr.run.clock import boottime
from dr.run.runner import CaptureResult
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.memory import MemoryStore
from tests.unit.following import archived
from tests.unit.record_fakes import DATABASE, NOON, FakeClock
from tests.unit.service_house import AGE, EVENTS, Heard, ServiceHouse, await_stopped, ended_by, in_child, stop_self

WRITES = "put|put_stream|retain"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def said(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_it_leads_follows_captures_and_ends(out: Path) -> None:
    house = ServiceHouse.in_memory()
    heard = house.run(house.leader("a"))
    house.assert_converged()
    assert heard.results == [("committed", "")]
    assert heard.events == len(EVENTS)
    assert heard.terms == [True, False]


def writes_of_one_run() -> list[tuple[str, str]]:
    house = ServiceHouse.in_memory()
    house.run(house.leader("a", 60))
    return [entry for entry in house.faults.log if entry[0] in WRITES.split("|")]


@pytest.mark.parametrize("action", [Action.KILL_BEFORE, Action.KILL_AFTER])
def test_killed_at_any_write_the_next_run_converges(tmp_path: Path, action: Action) -> None:
    """I2 to I4, I6, I11: taking the lead, the claim, each step, each artefact, the locks, the manifest, the end, each segment of
    the log, giving up the lead: SIGKILL on either side of each; then one point, nothing lost, nothing double."""
    writes = writes_of_one_run()
    kinds = {name.split("/")[0] for _, name in writes}
    assert {"runs", "data", "points", "log", "lease"} <= kinds
    for number in range(len(writes)):
        root = tmp_path / str(number)

        def doomed(root: Path = root, number: int = number) -> None:
            house = ServiceHouse.in_directory(root, Faults((Fault(action, WRITES, first=number),)))
            house.run(house.leader("doomed", 0.12))

        assert ended_by(in_child(doomed, tmp_path / "out")) == signal.SIGKILL
        survivor = ServiceHouse.in_directory(root)
        survivor.run(survivor.leader("survivor", 0.12))
        survivor.assert_converged()
        assert len(list(survivor.plain["world"].list())) == 1, "an effect was repeated"


@pytest.mark.parametrize("elected", [True, False], ids=["lease", "no lease"])
@pytest.mark.parametrize(
    ("operation", "name", "codes"),
    [
        ("put", "runs/.*/01-choose.json", ("fenced",)),
        ("put_stream", "data/.*/two", ("fenced",)),
        ("put", "points/.*", ("",)),
        ("put", "runs/.*/end.json", ("",)),
    ],
)
def test_one_that_was_stopped_for_twice_the_lease_commits_nothing_twice_and_says_so(
    tmp_path: Path, operation: str, name: str, codes: tuple[str, ...], elected: bool
) -> None:
    """I3: another leads meanwhile and captures the slot; the stale one wakes in the middle of its capture. With a Lease it
    knows that it does not lead and parks; without one the epoch of its claim is all that holds it back."""
    stop = Faults((Fault(Action.CALL, operation, name, call=stop_self),))
    stale = ServiceHouse.in_directory(tmp_path / "house", stop)
    heard = Heard(lambda heard: bool(heard.results))
    child = in_child(lambda: stale.service(heard, stale.leader("a") if elected else None).run(), tmp_path / "out")
    try:
        assert await_stopped(child)
        stopped = boottime()
        house = ServiceHouse.in_directory(tmp_path / "house")
        house.run(house.leader("successor"))
        time.sleep(max(0.0, 1.2 - (boottime() - stopped)))  # the stop itself is what is tested
        house.assert_converged()
        before = {info.name for info in house.plain["vault"].list("points/")}
    finally:
        os.kill(child, signal.SIGCONT)
        assert ended_by(child) == 0
    house.assert_converged()
    assert {info.name for info in house.plain["vault"].list("points/")} == before
    (told,) = [line for line in said(tmp_path / "out") if "seconds" in line]
    if elected and told["event"] == "parked":
        return
    assert told.get("code", "") in codes, told
    # stopped before the manifest, it finds the successor's; stopped after it, the successor found its own
    events = {"end.json": "committed", "points/.*": "already"}
    assert told["event"] == next((e for end, e in events.items() if name.endswith(end)), "locked"), told
    if told["event"] == "locked":
        assert "taken over by another run" in str(told["error"])


def test_a_second_replica_waits_and_begins_at_once_when_the_first_ends() -> None:
    house = ServiceHouse.in_memory()
    first, second = house.leader("first", 30), house.leader("second", 30)
    begun = threading.Event()

    def note(_heard: Heard) -> bool:
        begun.set()
        return False

    service = house.service(Heard(note), first)
    running = threading.Thread(target=service.run)
    running.start()
    assert begun.wait(10)
    waiting = Heard(lambda heard: bool(heard.terms))
    other = threading.Thread(target=house.service(waiting, second).run)
    other.start()
    threading.Event().wait(0.3)
    assert waiting.terms == []
    service.stop()
    running.join(20)
    other.join(20)
    assert waiting.terms == [True, False], "the successor waited for the whole lease of a replica that had ended"


class Slow:
    """A step that goes on until it is interrupted, or told to end."""

    def __init__(self, house: ServiceHouse) -> None:
        self.begun, self.go_on, self.told = threading.Event(), threading.Event(), 0
        house.source.before_write = self._work

    def _work(self, context: object) -> None:
        self.begun.set()
        while not self.go_on.wait(0.01):
            self.told += 1
            context.progress(self.told, None, "turns")  # type: ignore[attr-defined]


def running(house: ServiceHouse, heard: Heard) -> tuple[threading.Thread, Callable[[], None]]:
    service = house.service(heard)
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    return thread, service.stop


def test_one_stop_lets_the_step_end_and_parks_before_the_next() -> None:
    house = ServiceHouse.in_memory()
    slow, heard = Slow(house), Heard(lambda _heard: False)
    thread, stop = running(house, heard)
    assert slow.begun.wait(10)
    stop()
    threading.Event().wait(0.2)
    assert thread.is_alive()
    slow.go_on.set()
    thread.join(20)
    assert heard.results in ([("parked", "")], [("committed", "")])
    house.source.before_write = lambda _context: None
    house.run()
    house.assert_converged()


def test_two_stops_park_inside_the_step() -> None:
    house = ServiceHouse.in_memory()
    slow, heard = Slow(house), Heard(lambda _heard: False)
    thread, stop = running(house, heard)
    assert slow.begun.wait(10)
    stop()
    stop()
    thread.join(20)
    assert not thread.is_alive()
    assert heard.results == [("parked", "")]
    assert archived(house.plain["vault"]) == EVENTS
    house.source.before_write = lambda _context: None
    house.run()
    house.assert_converged()


def test_a_lost_lease_parks_the_work_and_it_goes_on_when_it_is_had_again() -> None:
    """The lease cannot be reached for longer than it lasts, in the middle of a capture."""
    house = ServiceHouse.in_memory()
    slow = Slow(house)
    heard = Heard(lambda _heard: house.converged and house.committed)
    service = house.service(heard, house.leader("a", 0.6))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    assert slow.begun.wait(10)
    house.faults.script = (Fault(Action.ERROR, name="lease/.*", times=4),)
    for _ in range(1000):
        if ("parked", "") in heard.results:
            break
        threading.Event().wait(0.01)
    slow.go_on.set()
    thread.join(20)
    assert not thread.is_alive()
    assert heard.results == [("parked", ""), ("committed", "")]
    assert heard.terms == [True, False, True, False]
    house.assert_converged()


class Outage:
    """Between two instants every store whose objects match refuses everything."""

    def __init__(self, clock: FakeClock, names: str, begins: datetime, lasts: timedelta) -> None:
        self.clock, self.names, self.begins, self.ends = clock, names, begins, begins + lasts

    def __call__(self, inner: ObjectStore) -> ObjectStore:
        return Refusing(inner, self) if re.fullmatch(self.names, inner.url) else inner

    def on(self) -> bool:
        return self.begins <= self.clock.now() < self.ends


class Refusing(FaultyStore):
    """Fails while the outage lasts; each refusal takes a while, as retries do."""

    def __init__(self, inner: ObjectStore, outage: Outage) -> None:
        super().__init__(inner, Faults())
        self._outage = outage

    @contextmanager
    def _around(self, operation: str, name: str) -> Iterator[Fault | None]:
        if self._outage.on():
            self._outage.clock.advance(3)
            raise DrError(UNAVAILABLE, f"{self.url} refuses {operation}")
        with super()._around(operation, name) as fault:
            yield fault


TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize("phase", range(0, 480, 120))
@pytest.mark.parametrize("names", [".*control", ".*vault", ".*"])
def test_a_store_that_refuses_for_ten_minutes_is_waited_for(names: str, phase: int) -> None:
    """I3, I10, I11: on virtual time, beginning anywhere in a cadence. Nothing is told as captured that is not; when the store
    answers again nobody has to do anything, and one capture catches up."""
    clock = FakeClock()
    begins = NOON + timedelta(hours=1, seconds=phase)
    house = ServiceHouse(lambda name: MemoryStore(name, now=clock.now), clock=clock)
    outage = Outage(clock, names, begins, TEN_MINUTES)
    house.plain = {name: outage(store) for name, store in house.plain.items()}
    house.schedule = Schedule(DATABASE, timedelta(minutes=8), timedelta(minutes=15), timedelta(seconds=20))
    house.claim_lease = house.schedule.lease
    house.source.before_write = lambda _context: clock.advance(20)
    committed: list[tuple[datetime, CaptureResult]] = []
    scheduler = house.by_hand(lambda result: committed.append((clock.now(), result)))
    while clock.now() < begins + timedelta(hours=1):
        scheduler.step()
        clock.advance(1)
    points = {result.point.name: at for at, result in committed if result.point}
    assert len(points) == len([result for _, result in committed if result.ok])
    assert {point.name for point in list_points(house.plain["vault"])} == set(points), (
        "what was told is not what there is"
    )
    after = min(at for at in points.values() if at >= outage.ends)
    # a look, the silence of a claim whose end could not be written, one pause, one capture
    assert after - outage.ends <= timedelta(seconds=15 + 45 + 60 + 30)
    slots = sorted(points.values())
    late = [late - early for early, late in pairwise(slots) if late > outage.ends + timedelta(minutes=16)]
    assert max(late) <= timedelta(minutes=9)


def test_a_disk_that_is_full_is_a_failure_that_is_told_and_passes(tmp_path: Path) -> None:
    """I10, I11: the vault's own disk, by a limit on the size of files."""

    def cramped() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        house = ServiceHouse.in_directory(tmp_path / "house")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 500, resource.RLIM_INFINITY))
        heard = Heard(lambda heard: bool(heard.results))
        house.service(heard).run()
        assert heard.results, heard
        assert heard.results == [("failed", "unavailable")]
        assert not list_points(house.plain["vault"])
        (tmp_path / "told").touch()

    assert ended_by(in_child(cramped, tmp_path / "out")) == 0
    assert (tmp_path / "told").exists()
    # once the pause after a failure is over
    house = ServiceHouse.in_directory(tmp_path / "house", clock=FakeClock(datetime.now(UTC) + AGE / 16))
    house.run()
    house.assert_converged()


def test_trouble_is_told_once_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    house = ServiceHouse.in_memory()
    calm, looks = house.agenda, iter(range(1000))

    def troubled() -> object:
        if next(looks) < 8:
            raise DrError(UNAVAILABLE, "the store is down")
        return calm()

    house.agenda = troubled  # type: ignore[method-assign, assignment]
    heard = house.run()
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events.count("cannot decide what is due") == 1
    assert events.count("decides again what is due") == 1
    assert heard.troubles == ["unavailable"] * 8
