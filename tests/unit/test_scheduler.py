"""The scheduler asks what is due and runs it, never two of one source at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from dr.errors import UNREACHABLE, DrError
from dr.model.ids import Slot, SourceId
from dr.run.runner import Captured, CaptureResult
from dr.run.scheduler import Reports, Scheduler
from tests.unit.record_fakes import NOON

A, B = (SourceId("appdata", "fake", name) for name in "ab")
FAST = timedelta(milliseconds=20)


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

    def due(self) -> list[Slot]:
        with self.lock:
            return list(self.left)

    def capture(self, slot: Slot) -> CaptureResult:
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

        made = Scheduler(self.due, self.capture, Reports(finished, trouble), every=FAST, **changes)  # type: ignore[arg-type]
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

    def due() -> list[Slot]:
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

    def capture(slot: Slot) -> CaptureResult:
        begun.set()
        while not made.stopping():
            threading.Event().wait(0.005)
        parked.append(slot)
        return CaptureResult(slot, Captured.PARKED)

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

    def bug(_slot: Slot) -> CaptureResult:
        raise ZeroDivisionError("a bug")

    desk.capture = bug  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        desk.scheduler(lambda: False).run()
