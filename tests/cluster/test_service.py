"""The service on a real API server, a real Velero and real stores: leadership, fencing, stuck backups."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.app.captures import capture
from dr.app.core import open_app
from dr.errors import TIMED_OUT
from dr.model.ids import Slot, SourceId
from dr.record.catalogue import find_point
from dr.run.runner import Captured
from lab.kube import Kube
from lab.state import Lab
from tests.lab.command import Dr
from tests.lab.killing import points_of
from tests.lab.services import only, service

pytestmark = pytest.mark.cluster
DATABASE = SourceId("appdata", "firestore", "energent-metadata-production")
CLUSTER = SourceId("cluster", "velero", "energent-production")
LEASE_S = 3


@pytest.fixture
def dr(lab: Lab, kube: Callable[[str], Kube], tmp_path: Path) -> Iterator[Dr]:
    """The database alone, and replicas that compete for a Lease of this test's own."""
    kube("admin").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dr-system"}})
    (tmp_path / "strategy.yaml").write_text(only("appdata", "4m"))
    more = {
        "DR_LEASE_NAME": f"test-{secrets.token_hex(4)}",
        "DR_LEASE_NAMESPACE": "dr-system",
        "DR_LEASE_DURATION": f"{LEASE_S}s",
    }
    made = Dr(lab.directory, tmp_path, more)
    made.fine("init", "--repositories")
    yield made
    kube("admin").delete(lease_path(made))


def lease_path(dr: Dr) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/dr-system/leases/{dr.more['DR_LEASE_NAME']}"


def lease_of(kube: Callable[[str], Kube], dr: Dr) -> dict[str, object]:
    found = kube("admin").find(lease_path(dr))
    assert found is not None
    spec = found["spec"]
    assert isinstance(spec, dict)
    return spec


def early_in_its_slot() -> None:
    """The cadence of an unmeasured RPO of four minutes is two: both replicas must see the same slot."""
    while time.time() % 120 > 40:
        time.sleep(0.2)


def test_one_that_is_stopped_for_twice_the_lease_is_fenced_and_says_so(kube: Callable[[str], Kube], dr: Dr) -> None:
    """I3: two replicas; the leader is stopped in the middle of a capture, the other leads and captures, the first wakes."""
    early_in_its_slot()
    before = set(points_of(dr, DATABASE))
    with service(dr, "stale", "tests.lab.faulty_service", "stop", "retain", "data/.*", "0") as stale:
        stale.await_("leading")
        holder = lease_of(kube, dr)["holderIdentity"]
        stale.await_stopped()
        stopped = time.monotonic()
        with service(dr, "successor") as successor:
            done = successor.await_("committed")
            assert lease_of(kube, dr)["holderIdentity"] != holder
            assert lease_of(kube, dr)["leaseTransitions"] == 1
            while time.monotonic() < stopped + 2 * LEASE_S:
                time.sleep(0.1)
            stale.process.send_signal(signal.SIGCONT)
            told = stale.await_("locked")
            assert told["code"] == "fenced"
            assert told["slot"] == done["slot"] == stale.await_("due")["slot"]
            assert "taken over by another run" in told["error"]
            stale.end()
            assert successor.process.poll() is None
            successor.end()
    assert lease_of(kube, dr)["holderIdentity"] in ("", None), "a successor must wait although nobody leads"
    assert set(points_of(dr, DATABASE)) - before == {done["slot"]}
    dr.fine("points", "verify", done["slot"])
    # the next slot may be due by now; this one is not
    assert done["slot"] not in [
        item["slot"] for item in dr.fine("backup", "--scheduled", "appdata", "-o", "json").items
    ]


def test_a_backup_that_velero_does_not_finish_stops_no_later_one(
    lab: Lab, kube: Callable[[str], Kube], tmp_path: Path
) -> None:
    """I11: given up after its patience, left as it is; the next attempt has a name of its own."""
    kube("admin").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "energent-ai"}})
    (tmp_path / "strategy.yaml").write_text(only("cluster", "24h"))
    Dr(lab.directory, tmp_path).fine("init", "--repositories")
    app = open_app(str(lab.settings), str(tmp_path / "strategy.yaml"), "capture")
    slot = Slot(CLUSTER, datetime.now(UTC).replace(microsecond=0) - timedelta(days=2))
    lab.ask({"op": "kill", "part": "velero", "signal": "STOP"})
    try:
        stuck = capture(app, slot, patient=lambda _epochs: timedelta(seconds=4))
    finally:
        lab.ask({"op": "kill", "part": "velero", "signal": "CONT"})
    assert stuck.captured is Captured.FAILED
    assert stuck.error is not None
    assert stuck.error.kind is TIMED_OUT
    assert "made no progress" in stuck.error.message
    assert "rollout restart" in stuck.error.hint
    done = capture(app, slot)
    assert done.captured is Captured.COMMITTED, done.error
    assert done.point is not None
    manifest = find_point(app.vault("cluster"), done.point.name).manifest
    assert manifest.epoch == 2
    named = [
        one["metadata"]["name"]
        for one in kube("admin").items("/apis/velero.io/v1/namespaces/velero/backups")
        if slot.id in str(one["metadata"])
    ]
    assert len(named) == 2
    assert manifest.details["backup"] in named
