"""A full disk under a `file://` store: one clear sentence, nothing half-written, and it goes on once there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.lab.command import ROOT

SIZE = "512k"
MOUNTED = 'mount -t tmpfs -o size="$1" none "$2" && exec "$3" -m tests.lab.full_disk "$2"'


def on_a_small_disk(folder: Path) -> dict[str, object]:
    """A disk of its own, seen by this one process only."""
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    argv = [*alone, "sh", "-c", MOUNTED, "sh", SIZE, str(folder), sys.executable]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_i2_i11_a_full_disk_is_said_leaves_nothing_half_written_and_is_forgotten_once_there_is_room(
    tmp_path: Path,
) -> None:
    found = on_a_small_disk(tmp_path)
    refused, written = found["refused"], found["written"]
    assert isinstance(refused, dict)
    assert isinstance(written, list)
    assert refused["message"].endswith("No space left on device")
    assert f"data/{len(written):03d}" in refused["message"]
    assert refused["hint"] == "make room there; nothing half-written is left"
    assert refused["temporary"] is True
    assert 1 <= len(written) <= 5
    assert found["listed"] == written, "what was refused is not there, what was acknowledged is"
    assert found["whole"] is True
    assert found["left"] == []
