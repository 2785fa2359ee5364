"""A cluster capture killed at each journalled write, on a real Velero: one point, one Velero backup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dr.model.ids import SourceId
from lab.kube import Kube
from lab.state import Lab
from tests.lab.command import Dr
from tests.lab.killing import kill_and_run_again, points_of, trials

pytestmark = pytest.mark.cluster
SOURCE = SourceId("cluster", "velero", "energent-production")


def test_one_point_and_one_backup_whenever_it_dies(lab: Lab, kube: Callable[[str], Kube], tmp_path: Path) -> None:
    dr = Dr(lab.directory, tmp_path)
    dr.fine("init", "--repositories")
    kube("admin").apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "energent-ai"}})
    planned = trials(dr, SOURCE)
    for trial in planned:
        kill_and_run_again(dr, trial)
    points = points_of(dr, SOURCE)
    backups = kube("admin").items("/apis/velero.io/v1/namespaces/velero/backups")
    for trial in planned:
        assert trial.slot.id in points
        made = [one for one in backups if trial.slot.id in str(one["metadata"])]
        assert len(made) == 1, (trial, [one["metadata"] for one in made])
    dr.fine("points", "verify", *(trial.slot.id for trial in planned))
