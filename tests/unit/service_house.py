"""The service over real stores, journal and runner, with a source and a follower in memory: for kills, stops and outages."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dr.errors import CONFLICT, DrError
from dr.model.ids import SourceId
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.plan.due import Agenda, DueSlot, Schedule, agenda, source_state
from dr.ports import Clock, Leader, LeaseRecord, Notice, ObjectStore
from dr.record.catalogue import find_point, list_points
from dr.record.codec import decode, encode, sha256
from dr.record.journal import Journal
from dr.run.clock import SystemClock
from dr.run.engine import Engine, Retry
from dr.run.leading import Alone, LeaseLeader
from dr.run.runner import CaptureResult, CaptureRunner, Terms
from dr.run.scheduler import Reports, Scheduler
from dr.run.service import Brake, Service, ServiceParts
from dr.stores.faults import Faults, FaultyStore
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore
from tests.unit.following import FakeFollower, World, archived
from tests.unit.record_fakes import DATABASE, FakeInspector, FakeSource

TERMS = Terms(timedelta(days=90), (FailureDomain.LOGICAL, FailureDomain.SOURCE))
AGE = timedelta(days=10_000)
"""A cadence so long that every test falls into one slot."""
EVENTS = ["one", "two", "three"]


INSIDE = threading.RLock()
"""Held inside each operation of a store in a directory, so that a process can be stopped while no thread of it is in one: one
that is stopped with a file lock holds up every other (tests/contract/test_local_turn.py), and that is not what is tested."""


class Gated:
    """A store in a directory; one operation at a time."""

    def __init__(self, inner: LocalStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: object, **more: object) -> object:
            with INSIDE:
                return found(*args, **more)

        return call


class StoreLease:
    """A Lease in an object store: each version is an object of its own, create-only (`ports.LeaseStore`)."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self) -> LeaseRecord | None:
        names = [info.name for info in self._store.list("lease/")]
        if not names:
            return None
        holder, seconds, transitions = self._store.get(names[-1]).decode().split("\n")
        return LeaseRecord(holder, timedelta(seconds=float(seconds)), None, int(transitions), names[-1])

    def write(self, lease: LeaseRecord) -> LeaseRecord:
        number = int(lease.version.removeprefix("lease/") or 0) + 1
        name = f"lease/{number:06d}"
        body = f"{lease.holder}\n{lease.duration.total_seconds()}\n{lease.transitions}"
        self._store.put(name, body.encode())
        newer = [info.name for info in self._store.list("lease/", start_after=name)]
        if newer:
            raise DrError(CONFLICT, f"{newer[-1]} stands")
        return LeaseRecord(lease.holder, lease.duration, lease.renewed, lease.transitions, name)


@dataclass
class Heard:
    """An observer that notes, and stops the service when what was waited for has come."""

    enough: Callable[[Heard], bool]
    results: list[tuple[str, str]] = field(default_factory=list)
    events: int = 0
    terms: list[bool] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None

    def looked(self, now: datetime) -> None:
        self._look()

    def captured(self, source: SourceId, result: str, seconds: float, code: str) -> None:
        self.results.append((result, code))
        self._look()

    def noticed(self, notice: Notice) -> None:
        self.events += notice.count
        self._look()

    def led(self, leading: bool) -> None:
        self.terms.append(leading)

    def troubled(self, code: str) -> None:
        self.troubles.append(code)

    def _look(self) -> None:
        if self.enough(self):
            self.stop()


class ServiceHouse:
    """One control repository, vault and outer world, on which any number of services run."""

    def __init__(self, make: Callable[[str], ObjectStore], faults: Faults | None = None, clock: Clock | None = None):
        self.faults = faults or Faults()
        self.plain = {name: make(name) for name in ("control", "vault", "world", "lease")}
        self.clock = clock or SystemClock()
        self.world = World(list(EVENTS))
        self.source = FakeSource(self.store("world"))
        self.schedule = Schedule(DATABASE, AGE, 2 * AGE)
        self.claim_lease = timedelta(seconds=0.4)

    @classmethod
    def in_directory(cls, root: Path, faults: Faults | None = None, clock: Clock | None = None) -> ServiceHouse:
        def make(name: str) -> ObjectStore:
            (root / name).mkdir(exist_ok=True, parents=True)
            gated: ObjectStore = Gated(LocalStore(root / name))
            return gated

        return cls(make, faults, clock)

    @classmethod
    def in_memory(cls, faults: Faults | None = None) -> ServiceHouse:
        return cls(MemoryStore, faults)

    def store(self, name: str) -> ObjectStore:
        return FaultyStore(self.plain[name], self.faults)

    @property
    def journal(self) -> Journal:
        return Journal(self.store("control"), self.clock, lease=self.claim_lease)

    def agenda(self) -> Agenda:
        now = self.clock.now()
        history = self.journal.history(DATABASE, now - 3 * self.schedule.cadence)
        newest = max((point.as_of for point in list_points(self.store("vault"))), default=None)
        state = source_state(DATABASE, [facts.record for facts in history], newest, now)
        return agenda([self.schedule], {DATABASE: state}, now)

    def capture(self, due: DueSlot, brake: Brake) -> CaptureResult:
        pause = Retry(attempts=3, first_s=0.01)
        renew_every = timedelta(seconds=0.1) if isinstance(self.clock, SystemClock) else None
        engine = Engine(self.clock, retry=pause, renew_every=renew_every, hurry=brake.hurry)
        runner = CaptureRunner(
            self.journal, self.clock, engine, {"fake": FakeInspector()}, "1.0", brake.stop, due.schedule.patience
        )
        return runner.capture(self.source, due.slot, self.store("vault"), TERMS)

    def leader(self, name: str, duration: float = 0.6) -> LeaseLeader:
        lease = StoreLease(self.store("lease"))
        return LeaseLeader(lease, name, timedelta(seconds=duration), self.clock.now)

    def service(self, heard: Heard, leader: Leader | None = None) -> Service:
        follower = FakeFollower(self.world, self.clock)
        follow = {DATABASE: lambda stop, notice: follower.follow(self.store("vault"), stop, notice)}
        parts = ServiceParts(self.agenda, self.capture, follow, leader or Alone(), heard)
        service = Service(parts, 0.05)
        heard.stop = service.stop
        return service

    def by_hand(self, finished: Callable[[CaptureResult], None]) -> Scheduler:
        """The scheduler without threads, on this house's clock: a capture is done before `step` returns."""
        brake = Brake(lambda: False, lambda: False)
        return Scheduler(
            agenda=self.agenda,
            capture=lambda due: self.capture(due, brake),
            reports=Reports(lambda _due: None, finished, lambda _error: None),
            start=lambda work, _name: work(),
            elapsed=lambda: self.clock.now().timestamp(),
        )

    @property
    def converged(self) -> bool:
        """The slot has its point and the log has all events."""
        return len(list_points(self.plain["vault"])) == 1 and archived(self.plain["vault"]) == EVENTS

    def run(self, leader: Leader | None = None) -> Heard:
        """A service, until all is captured."""
        heard = Heard(lambda _heard: self.converged and self.committed)
        assert self.service(heard, leader).run() == 0
        return heard

    @property
    def committed(self) -> bool:
        facts = Journal(self.plain["control"], self.clock).history(DATABASE, self.clock.now() - 3 * AGE)
        return any(fact.record.state is RunState.COMMITTED for fact in facts)

    def assert_converged(self) -> None:
        """I1 to I4, I6, I11: one point, whole and locked; every event once."""
        (summary,) = list_points(self.plain["vault"])
        manifest = find_point(self.plain["vault"], summary.name).manifest
        for artefact in manifest.artefacts:
            info = self.plain["vault"].stat(artefact.name)
            assert info is not None
            assert sha256(self.plain["vault"].get(artefact.name)) == artefact.sha256
            assert info.retain_until is not None
            assert info.retain_until >= manifest.retain_until
        stored = self.plain["vault"].stat(summary.name)
        assert stored is not None
        assert stored.retain_until == manifest.retain_until
        assert decode(encode(manifest), type(manifest), "x") == manifest
        assert archived(self.plain["vault"]) == EVENTS
        facts = Journal(self.plain["control"], self.clock).read(manifest.slot.id)
        assert facts.record.state is RunState.COMMITTED
        epochs = [end.epoch for end in facts.record.ends]
        assert len(set(epochs)) == len(epochs)


def in_child(work: Callable[[], object], out: Path) -> int:
    """Run in a child whose output goes to a file; its pid."""
    child = os.fork()
    if child:
        return child
    try:
        sys.stdout = out.open("w", buffering=1)
        work()
    finally:
        os._exit(0)


def ended_by(pid: int) -> int:
    """The signal that ended a child; 0: it ended by itself."""
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def await_stopped(pid: int) -> bool:
    """Until the child stopped itself; False when it ended instead."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    return os.WIFSTOPPED(status)


def stop_self() -> None:
    """As the kernel's scheduler does to a starved process, or a person with Ctrl-Z: every thread, at once."""
    with INSIDE:
        os.kill(os.getpid(), signal.SIGSTOP)
