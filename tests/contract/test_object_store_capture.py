"""A whole capture over Cloud Storage, by an identity that may create, read and lock, but never delete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.ports import ObjectStore
from dr.record.catalogue import list_points, rebuild
from dr.record.journal import Journal
from dr.record.layout import ensure_format
from dr.run.clock import SystemClock
from dr.run.engine import Engine, Retry
from dr.run.runner import Captured, CaptureRunner, Terms
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.memory import MemoryStore
from dr.stores.opening import open_store
from tests.contract.storage_server import Lab, Server, stop
from tests.contract.test_object_store import access_as, create_bucket
from tests.unit.record_fakes import SLOT, FakeInspector, FakeSource

MAY = [f"storage.objects.{verb}" for verb in ("create", "get", "list", "update", "setRetention")]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ObjectStore, ObjectStore]]:
    directory = tmp_path_factory.mktemp("capture")
    lab = Lab.start(directory / "lab")
    server = Server(lab, directory / "objects").start()
    try:
        for bucket in ("the-control", "the-vault"):
            create_bucket(access_as(server, "operator"), bucket)
            lab.iam.grant("capture", MAY, f"buckets/{bucket}")
        access = access_as(server, "capture")
        yield open_store("gs://the-control", access), open_store("gs://the-vault/appdata", access)
    finally:
        server.stop()
        stop(lab.tokens)


def test_capture_fail_take_over_commit(stores: tuple[ObjectStore, ObjectStore]) -> None:
    control, vault = stores
    clock, world = SystemClock(), MemoryStore()
    ensure_format(control, "control")
    ensure_format(vault, "vault")
    terms = Terms(timedelta(days=90), (FailureDomain.SOURCE,))
    source = FakeSource(world)
    journal = Journal(control, clock)
    engine = Engine(clock, retry=Retry(attempts=1))
    runner = CaptureRunner(journal, clock, engine, {"fake": FakeInspector()}, "1")

    asked = iter([False, False, True])
    parking = CaptureRunner(journal, clock, engine, {"fake": FakeInspector()}, "1", stop=lambda: next(asked))
    assert parking.capture(source, SLOT, vault, terms).captured is Captured.PARKED
    broken = FaultyStore(vault, Faults((Fault(Action.LOSE_REPLY, "put", "points/.*"),)))
    assert runner.capture(source, SLOT, broken, terms).captured is Captured.FAILED
    result = runner.capture(source, SLOT, vault, terms)
    assert result.captured is Captured.ALREADY, result.error
    assert runner.capture(source, SLOT, vault, terms).captured is Captured.ALREADY

    (point,) = list_points(vault)
    rebuilt = rebuild(vault)
    assert rebuilt.points == (point,)
    assert rebuilt.differences == rebuilt.damaged == ()
    locked = [info for info in vault.list() if info.retain_until]
    assert len(locked) == 3
    assert min(info.retain_until for info in locked if info.retain_until) >= point.retain_until
    record = journal.read(SLOT.id).record
    assert record.state is RunState.COMMITTED
    assert [end.state for end in record.ends] == [RunState.ABANDONED, RunState.FAILED, RunState.COMMITTED]
    assert len(list(world.list())) == 1
