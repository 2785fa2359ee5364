"""Three minutes of the soak: the shipped manifests alone, kills at random, and the table proven at the end. `make soak` runs thirty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.command import ROOT

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1500),
]


def test_nothing_is_missed_lost_or_doubled_while_things_are_killed(tmp_path: Path) -> None:
    out = tmp_path / "soak"
    argv = [sys.executable, "-m", "lab", "soak", "--minutes", "3", "--out", str(out)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1500:]
    found = json.loads((out / "soak.json").read_text())
    assert found["faults"] == []
    killed = [disturbance["what"] for disturbance in found["seen"]["disturbances"]]
    assert len(killed) >= 5
    assert set(killed) == {"dr", "velero", "apiserver"}
    assert len(found["seen"]["cronjobs"]) >= 4
    drilled = {row["component"] for row in found["seen"]["drill"] if row["rto"]["measured_s"] is not None}
    assert drilled == {"cluster", "appdata", "config", "audit"}
