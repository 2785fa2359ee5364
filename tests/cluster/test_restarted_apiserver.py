"""The API server restarts under a capture: the run waits or fails in one sentence, and the next run leaves one point (I3, I11)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.model.ids import Slot, SourceId
from lab.kube import Kube, wait_for
from lab.state import Lab
from tests.lab.command import Dr
from tests.lab.killing import captured, points_of

pytestmark = pytest.mark.cluster
SOURCE = SourceId("cluster", "velero", "energent-production")
WRITE = 2
"""Before the journal has `request`: the backup is asked for, and who follows it meets a server that is away."""


def test_i3_i11_one_point_and_one_backup_though_the_api_server_restarts(
    lab: Lab, kube: Callable[[str], Kube], tmp_path: Path
) -> None:
    dr, admin = Dr(lab.directory, tmp_path), kube("admin")
    dr.fine("init", "--repositories")
    admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "energent-ai"}})
    slot = Slot(SOURCE, datetime.now(UTC).replace(microsecond=0) - timedelta(days=2))
    answer = dr.module("tests.cluster.restarted_apiserver", str(lab.directory), slot.id, str(WRITE))
    assert answer.code == 0, answer.err[-1500:]
    first = json.loads(answer.out.splitlines()[-1])
    assert first["struck"] == 1
    assert first["captured"] in ("committed", "failed"), first
    wait_for("the API server", lambda: bool(admin.get("/version")), 60)
    assert captured(dr, slot)["captured"] in ("committed", "already")
    assert slot.id in points_of(dr, SOURCE)
    backups = admin.items("/apis/velero.io/v1/namespaces/velero/backups")
    made = [one["metadata"]["annotations"] for one in backups if slot.id in str(one["metadata"])]  # type: ignore[index]
    assert len({notes["dr/attempt"] for notes in made}) == len(made), "never two for one attempt"
    dr.fine("points", "verify", slot.id)
