"""The scheduler asks what is due and runs it, never two of one source at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from dr.errors import UNREACHABLE, DrError
from dr.model.ids import Slot, SourceId
from dr.plan.due import Agenda, DueSlot, Phase, Schedule, Standing
from dr.run.runner import Captured, CaptureResult
from dr.run.scheduler import Reports, Scheduler
from tests.unit.record_fakes import NOON

A, B = (SourceId("appdata", "fake", name) for name in "ab")
FAST = timedelta(milliseconds=20)


HOUR = timedelta(hours=1)


def due_slot(slot: Slot, rpo: timedelta = 2 * HOUR) -> DueSlot:
    return DueSlot(slot, None, (), Schedule(slot.source, HOUR, rpo))


def agenda_of(slots: list[Slot]) -> Agenda:
    """One of each source, as the planner gives them."""
    first = {slot.source: slot for slot in reversed(slots)}
    found = tuple(due_slot(slot) for slot in first.values())
    standings = tuple(Standing(due.schedule, Phase.DUE, due.slot, NOON, None) for due in found)
    return Agenda(NOON, found, standings)


class Desk:
    """Hands out slots and notes what came of them."""

    def __init__(self, slots: list[Slot]) -> None:
        self.left = slots
        self.results: list[CaptureResult] = []
        self.troubles: list[DrError] = []
        self.running: set[SourceId] = set()
        self.overlaps: list[Slot] = []
        self.most = 0
        self.lock = threading.Lock()

    def due(self) -> Agenda:
        with self.lock:
            return agenda_of(self.left)

    def capture(self, due: DueSlot) -> CaptureResult:
        slot = due.slot
        with self.lock:
            if slot.source in self.running:
                self.overlaps.append(slot)
            self.running.add(slot.source)
            self.most = max(self.most, len(self.running))
        threading.Event().wait(0.01)
        with self.lock:
            self.running.discard(slot.source)
            self.left.remove(slot)
        return CaptureResult(slot, Captured.FAILED, error=DrError(UNREACHABLE, "x"))

    def scheduler(self, done: Callable[[], bool], **changes: object) -> Scheduler:
        def finished(result: CaptureResult) -> None:
            self.results.append(result)
            if done():
                made.stop()

        def trouble(error: DrError) -> None:
            self.troubles.append(error)
            if done():
                made.stop()

        reports = Reports(lambda _due: None, finished, trouble)
        made = Scheduler(self.due, self.capture, reports, every=FAST, **changes)  # type: ignore[arg-type]
        return made


def slots(source: SourceId, count: int) -> list[Slot]:
    return [Slot(source, NOON + timedelta(hours=hour)) for hour in range(count)]


def test_what_is_due_runs_and_sources_never_overlap() -> None:
    desk = Desk(slots(A, 4) + slots(B, 4))
    desk.scheduler(lambda: len(desk.results) == 8).run()
    assert {result.slot for result in desk.results} == {*slots(A, 4), *slots(B, 4)}
    assert desk.overlaps == []


def test_the_number_of_workers_is_kept() -> None:
    many = [Slot(SourceId("appdata", "fake", f"s{index}"), NOON) for index in range(9)]
    desk = Desk(many)
    desk.scheduler(lambda: len(desk.results) == 9, workers=2).run()
    assert desk.most <= 2


def test_trouble_is_told_and_asked_again() -> None:
    desk = Desk(slots(A, 1))
    answers = iter([DrError(UNREACHABLE, "down"), DrError(UNREACHABLE, "down")])
    calm = desk.due

    def due() -> Agenda:
        for error in answers:
            raise error
        return calm()

    desk.due = due  # type: ignore[method-assign]
    desk.scheduler(lambda: bool(desk.results)).run()
    assert len(desk.troubles) == 2
    assert len(desk.results) == 1


def test_a_stop_waits_for_what_runs_and_starts_nothing_new() -> None:
    desk = Desk(slots(A, 5))
    begun, parked = threading.Event(), []

    def capture(due: DueSlot) -> CaptureResult:
        begun.set()
        while not made.stopping():
            threading.Event().wait(0.005)
        parked.append(due.slot)
        return CaptureResult(due.slot, Captured.PARKED)

    desk.capture = capture  # type: ignore[method-assign]
    made = desk.scheduler(lambda: False)
    runner = threading.Thread(target=made.run)
    runner.start()
    assert begun.wait(10)
    made.stop()
    runner.join(10)
    assert not runner.is_alive()
    assert parked == slots(A, 1)
    assert [result.captured for result in desk.results] == [Captured.PARKED]


def test_a_bug_stops_the_service_and_is_raised() -> None:
    desk = Desk(slots(A, 1))

    def bug(_due: DueSlot) -> CaptureResult:
        raise ZeroDivisionError("a bug")

    desk.capture = bug  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        desk.scheduler(lambda: False).run()


class ByHand:
    """A scheduler without threads: work is started when the test says so, and time passes when it does."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots, self.time = slots, 0.0
        self.work: list[Callable[[], None]] = []
        self.captured: list[Slot] = []
        reports = Reports(lambda _due: None, lambda result: self.captured.append(result.slot), lambda _error: None)
        self.scheduler = Scheduler(
            lambda: agenda_of(self.slots),
            self._capture,
            reports,
            every=timedelta(seconds=15),
            start=lambda work, _name: self.work.append(work),
            elapsed=lambda: self.time,
        )

    def _capture(self, due: DueSlot) -> CaptureResult:
        return CaptureResult(due.slot, Captured.LOCKED, error=DrError(UNREACHABLE, "x"))

    def pass_(self, seconds: float) -> None:
        self.time += seconds
        self.scheduler.step()


def test_a_source_that_runs_is_left_alone_until_the_journal_knows_of_no_living_claim() -> None:
    """A capture that hangs for good must not keep its source from being captured for good."""
    desk = ByHand(slots(A, 1))
    desk.pass_(0)
    assert len(desk.work) == 1
    lease = due_slot(slots(A, 1)[0]).schedule.lease.total_seconds()
    desk.pass_(2 * lease)
    assert len(desk.work) == 1
    desk.pass_(16)
    assert len(desk.work) == 2, "the stuck one still counts"
    desk.work[0]()
    desk.pass_(16)
    assert len(desk.work) == 2, "the end of the stuck one freed the source of the living one"
    desk.work[1]()
    desk.pass_(16)
    assert len(desk.captured) == 2
    assert len(desk.work) == 3


def test_ticks_go_by_the_time_since_boot() -> None:
    desk = ByHand([])
    looked: list[float] = []
    desk.scheduler.agenda = lambda: looked.append(desk.time) or agenda_of([])  # type: ignore[func-returns-value]
    for _ in range(40):
        desk.pass_(1)
    assert looked == [1, 16, 31]


def test_a_capture_that_hangs_does_not_keep_a_stopped_service_from_ending() -> None:
    desk = ByHand(slots(A, 1))
    desk.pass_(0)
    desk.pass_(10_000)
    desk.slots = []
    desk.work[1]()
    desk.scheduler.stop()
    ended = threading.Thread(target=desk.scheduler.run, daemon=True)
    ended.start()
    ended.join(10)
    assert not ended.is_alive()
