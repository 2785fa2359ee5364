"""One slot gives one point, whatever fails or dies on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import FENCED, REJECTED, UNAVAILABLE, VERIFICATION_FAILED
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.ports import Clock, ObjectStore
from dr.record.catalogue import find_point, list_points
from dr.record.codec import sha256
from dr.record.journal import Journal
from dr.record.layout import UnitLayout
from dr.run.clock import SystemClock
from dr.run.closing import close_passed_over
from dr.run.engine import Engine, Retry
from dr.run.runner import Captured, CaptureResult, CaptureRunner, Terms
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import SLOT, FakeClock, FakeInspector, FakeSource

TERMS = Terms(timedelta(days=90), (FailureDomain.LOGICAL, FailureDomain.SOURCE))
WRITES = "put|put_stream|retain"


class House:
    """A control repository, a vault and an outer world, all behind one script of faults."""

    def __init__(self, make: Callable[[str], ObjectStore], clock: Clock, *faults: Fault) -> None:
        self.faults = Faults(faults)
        self.control, self.vault, self.world = (make(name) for name in ("control", "vault", "world"))
        self.clock = clock
        self.source = FakeSource(FaultyStore(self.world, self.faults))

    def runner(self, **changes: object) -> CaptureRunner:
        journal = Journal(FaultyStore(self.control, self.faults), self.clock)
        engine = Engine(self.clock, retry=Retry(attempts=2, first_s=0), renew_every=None)
        runner = CaptureRunner(journal, self.clock, engine, {"fake": FakeInspector()}, "1.0")
        return replace(runner, **changes)  # type: ignore[arg-type]

    def capture(self, **changes: object) -> CaptureResult:
        return self.runner(**changes).capture(self.source, SLOT, FaultyStore(self.vault, self.faults), TERMS)

    @property
    def journal(self) -> Journal:
        return Journal(self.control, self.clock)

    def assert_nothing_half(self) -> None:
        """I2 at every moment: whatever manifest stands names only whole, locked objects."""
        for summary in list_points(self.vault):
            manifest = find_point(self.vault, summary.name).manifest
            assert manifest.artefacts
            for artefact in manifest.artefacts:
                info = self.vault.stat(artefact.name)
                assert info is not None, artefact.name
                assert info.generation == artefact.generation
                assert sha256(self.vault.get(artefact.name)) == artefact.sha256
                assert info.retain_until is not None
                assert info.retain_until >= manifest.retain_until

    def assert_one_point(self, attempts: int = 1) -> None:
        """I1, I2, I3, I4, I6."""
        self.assert_nothing_half()
        (summary,) = list_points(self.vault)
        stored = self.vault.stat(summary.name)
        assert stored is not None
        assert stored.retain_until == find_point(self.vault, summary.name).manifest.retain_until
        assert len(list(self.world.list())) == attempts, "an effect was repeated"
        facts = self.journal.read(SLOT.id)
        assert facts.record.state is RunState.COMMITTED
        assert facts.ended is not None
        assert facts.ended.point == summary.name
        epochs = [end.epoch for end in facts.record.ends]
        assert len(set(epochs)) == len(epochs) == len(facts.record.claims)


def in_memory(*faults: Fault, clock: Clock | None = None) -> House:
    clock = clock or FakeClock()
    return House(lambda name: MemoryStore(name, now=clock.now), clock, *faults)


def in_directory(root: Path, *faults: Fault) -> House:
    def make(name: str) -> ObjectStore:
        (root / name).mkdir(exist_ok=True, parents=True)
        return LocalStore(root / name)

    return House(make, SystemClock(), *faults)


def writes_of_one_capture() -> list[tuple[str, str]]:
    house = in_memory()
    assert house.capture().captured is Captured.COMMITTED
    return [entry for entry in house.faults.log if entry[0] in WRITES.split("|")]


def test_a_slot_becomes_a_point() -> None:
    house = in_memory()
    result = house.capture()
    assert result.captured is Captured.COMMITTED
    assert result.ok
    house.assert_one_point()
    manifest = find_point(house.vault, result.point.name).manifest  # type: ignore[union-attr]
    assert [artefact.records for artefact in manifest.artefacts] == [1, 1]
    assert manifest.counts == {"documents": 2}
    assert manifest.checks
    assert all(check.passed for check in manifest.checks)
    assert manifest.survives == TERMS.survives
    assert manifest.retain_until - manifest.committed == TERMS.retention
    assert [outcome.step for outcome in house.journal.read(SLOT.id).record.outcomes] == [
        "choose",
        "request",
        "write",
        "inspect",
    ]


def test_the_manifest_is_written_last() -> None:
    """I2: after the locks of all artefacts; only its own lock and the journal follow."""
    writes = writes_of_one_capture()
    manifest = writes.index(("put", f"points/2025/05/28/{SLOT.id}.json"))
    locks = [index for index, (operation, name) in enumerate(writes) if operation == "retain" and "data/" in name]
    assert len(locks) == 2
    assert max(locks) < manifest
    assert [name.split("/")[0] for _, name in writes[manifest + 1 :]] == ["points", "runs"]


def test_a_second_run_of_a_committed_slot_writes_nothing() -> None:
    house = in_memory()
    house.capture()
    house.faults.log.clear()
    assert house.capture().captured is Captured.ALREADY
    assert not [entry for entry in house.faults.log if entry[0] in WRITES.split("|")]
    house.assert_one_point()


def test_two_runners_of_one_slot_commit_one_point() -> None:
    """I3: the one that comes while the other works is told who holds the slot."""
    house = in_memory()
    rival: list[CaptureResult] = []
    alive = Journal(house.control, house.clock, dead=lambda _owner, _boot: False)
    house.source.before_write = lambda _context: rival.append(house.capture(journal=alive)) if not rival else None
    assert house.capture(journal=alive).captured is Captured.COMMITTED
    assert rival[0].captured is Captured.LOCKED
    assert rival[0].error is not None
    assert "process" in rival[0].error.message
    house.assert_one_point()


def test_a_silent_owner_is_taken_over_and_fenced() -> None:
    """The slow one wakes up after its claim ran out and another committed: it must not commit again."""
    clock = FakeClock()
    house = in_memory(clock=clock)
    rival: list[CaptureResult] = []
    alive = Journal(house.control, clock, dead=lambda _owner, _boot: False)

    def sleep_long(_context: object) -> None:
        if not rival:
            clock.advance(3600)
            rival.append(CaptureResult(SLOT, Captured.PARKED))
            rival[0] = house.capture(journal=alive)

    house.source.before_write = sleep_long
    slow = house.capture(journal=alive)
    assert rival[0].captured is Captured.COMMITTED
    assert slow.captured is Captured.LOCKED
    house.assert_one_point()


def test_a_fenced_owner_does_not_commit() -> None:
    """Taken over between the last step and the manifest: the later epoch decides, although it has not committed yet."""
    clock = FakeClock()
    alive: list[Journal] = []

    def take_over() -> None:
        clock.advance(3600)
        alive[0].claim(SLOT.id)

    house = in_memory(Fault(Action.CALL, "retain", ".*/two", call=take_over), clock=clock)
    alive.append(Journal(house.control, clock, dead=lambda _owner, _boot: False))
    assert house.capture(journal=alive[0]).captured is Captured.LOCKED
    assert not list_points(house.vault)


def test_a_dead_owner_s_commit_that_was_passed_over_gets_its_lock() -> None:
    """Killed between the manifest and its lock, and a newer slot has its point: nobody takes the old one up again."""
    clock = FakeClock()
    house = in_memory(Fault(Action.ERROR, "retain", "points/.*", kind=REJECTED), clock=clock)
    assert not house.capture().ok
    (end,) = [info for info in house.control.list("runs/") if UnitLayout("runs", SLOT.id).is_end(info.name)]
    house.control.delete(end.name, generation=end.generation)  # a dead owner wrote none
    (left,) = list_points(house.vault)
    assert house.vault.stat(left.name).retain_until is None  # type: ignore[union-attr]
    clock.advance(3600)
    newer = replace(SLOT, due=SLOT.due + timedelta(hours=1))
    runner = house.runner()
    assert close_passed_over(runner, SLOT, house.vault, SLOT.due) == (), "it is not older than itself"
    assert close_passed_over(runner, newer, house.vault, SLOT.due) == (SLOT,)
    promised = find_point(house.vault, left.name).manifest.retain_until
    assert house.vault.stat(left.name).retain_until == promised  # type: ignore[union-attr]
    assert house.journal.read(SLOT.id).record.state is RunState.COMMITTED
    assert close_passed_over(runner, newer, house.vault, SLOT.due) == ()


def test_a_step_that_lost_another_race_frees_its_slot() -> None:
    """A change log that another writer continued: the slot was not taken over, and must not stay claimed."""
    house = in_memory(Fault(Action.ERROR, "put_stream", ".*/two", kind=FENCED))
    assert house.capture().captured is Captured.LOCKED
    assert house.journal.read(SLOT.id).record.state is RunState.FAILED
    assert house.capture().captured is Captured.COMMITTED


def test_a_failed_attempt_is_retried_under_new_names() -> None:
    house = in_memory(Fault(Action.ERROR, "put_stream", ".*/two", kind=REJECTED))
    first = house.capture()
    assert first.captured is Captured.FAILED
    assert not list_points(house.vault)
    assert house.capture().captured is Captured.COMMITTED
    house.assert_one_point(attempts=2)
    (summary,) = list_points(house.vault)
    assert all("/2/" in artefact.name for artefact in find_point(house.vault, summary.name).manifest.artefacts)


def test_temporary_errors_are_retried_within_the_step() -> None:
    house = in_memory(Fault(Action.ERROR, "put_stream", ".*/two", kind=UNAVAILABLE))
    assert house.capture().captured is Captured.COMMITTED
    house.assert_one_point()


def test_a_stop_parks_and_the_next_run_continues() -> None:
    house = in_memory()
    asked = iter([False, False, True])
    parked = house.capture(stop=lambda: next(asked))
    assert parked.captured is Captured.PARKED
    assert house.journal.read(SLOT.id).record.state is RunState.ABANDONED
    assert house.capture().captured is Captured.COMMITTED
    house.assert_one_point()
    steps = [outcome.step for outcome in house.journal.read(SLOT.id).record.outcomes]
    assert sorted(steps) == sorted(set(steps)), "a journalled step ran again"


@pytest.mark.parametrize("damage", ["flip", "missing", "truncated"])
def test_what_cannot_be_read_back_is_no_point(damage: str) -> None:
    """I1, I7: the artefact is named."""
    house = in_memory(Fault(Action.FLIP, "get", ".*/two")) if damage == "flip" else in_memory()
    if damage == "missing":
        house.source.content = {"one": b"1"}
    if damage == "truncated":
        house.faults.script = (Fault(Action.TRUNCATE, "get", ".*/two"),)
    result = house.capture()
    assert result.captured is Captured.FAILED
    assert result.error is not None
    assert result.error.kind is VERIFICATION_FAILED
    assert ("two" in result.error.message) or ("documents" in result.error.message)
    assert not list_points(house.vault)
    (end,) = house.journal.read(SLOT.id).record.ends
    assert (end.state, end.error_code) == (RunState.FAILED, "verification-failed")


def test_a_bug_ends_the_run_as_failed_and_is_not_hidden() -> None:
    house = in_memory()

    def bug(_context: object) -> None:
        raise ZeroDivisionError("a bug")

    house.source.before_write = bug
    with pytest.raises(ZeroDivisionError):
        house.capture()
    (end,) = house.journal.read(SLOT.id).record.ends
    assert (end.state, end.error_code) == (RunState.FAILED, "internal")


@pytest.mark.parametrize("action", [Action.ERROR, Action.LOSE_REPLY])
@pytest.mark.parametrize("kind", [REJECTED, UNAVAILABLE])
def test_any_write_may_fail_and_the_next_run_converges(action: Action, kind: object) -> None:
    """I4, I10, I11: for each write of a capture, taken or not."""
    for number in range(len(writes_of_one_capture())):
        house = in_memory(Fault(action, WRITES, first=number, kind=kind))  # type: ignore[arg-type]
        first = house.capture()
        house.assert_nothing_half()
        assert not first.ok or list_points(house.vault)
        house.clock.advance(3600)  # type: ignore[attr-defined]
        second = house.capture()
        assert second.ok, f"write {number}: {second.error}"
        house.assert_one_point(attempts=len(list(house.world.list())))


@pytest.mark.parametrize("action", [Action.KILL_BEFORE, Action.KILL_AFTER])
def test_kill_at_every_write_and_run_again(tmp_path: Path, action: Action) -> None:
    """I1-I4, I6: SIGKILL before and after each write; a second run gives one point, nothing lost, nothing double."""
    for number, write in enumerate(writes_of_one_capture()):
        root = tmp_path / str(number)
        assert died(lambda root=root, number=number: in_directory(root, Fault(action, WRITES, first=number)).capture())
        survivor = in_directory(root)
        survivor.assert_nothing_half()
        result = survivor.capture()
        assert result.ok, f"{action} {write}: {result.error}"
        survivor.assert_one_point()


def died(work: Callable[[], object]) -> bool:
    """Run in a child; whether SIGKILL ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
