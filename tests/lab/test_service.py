"""`dr run` on the data plane: killed again and again, and with no room for its cache."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.command import ROOT
from tests.lab.killing import SIGKILLED, points_of
from tests.lab.services import only, service
from tests.lab.staged import SOURCE, Stage, staged

pytestmark = pytest.mark.lab
KILLS = [
    ("kill-before", "put", "runs/.*", 0),
    ("kill-after", "put", "runs/.*/01-.*", 0),
    ("kill-after", "put", "runs/.*/02-.*", 0),
    ("kill-before", "retain", "data/.*", 1),
    ("kill-after", "retain", "data/.*", 0),
    ("kill-before", "put", "points/.*", 0),
    ("kill-after", "put", "points/.*", 0),
    ("kill-before", "put", "runs/.*/end.json", 0),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("service")
    (home / "strategy.yaml").write_text(only("appdata", "50s"))
    with staged(home, snapshot_granularity="1") as made:
        yield made


def test_killed_again_and_again_it_goes_on(stage: Stage) -> None:
    """I2 to I4, I6, I11: after each kill another replica, which is killed as well, at the end one that lives. Each slot that
    was begun has its point or is passed over by a newer one; none has two, and no export was made twice."""
    for number, (action, operation, names, first) in enumerate(KILLS):
        doomed = ("tests.lab.faulty_service", action, operation, names, str(first))
        with service(stage.dr, f"doomed-{number}", *doomed) as replica:
            assert replica.process.wait(90) == SIGKILLED, replica.log.read_text()[-2000:]
    with service(stage.dr, "survivor") as survivor:
        done = survivor.await_("committed")
        survivor.end()
    points = points_of(stage.dr, SOURCE)
    assert done["slot"] in points
    stage.dr.fine("points", "verify")
    stage.dr.fine("points", "rebuild")
    exports = [export.uri for export in stage.exports()]
    assert len(exports) == len(set(exports)), "an attempt exported twice"
    attempts = Counter(uri.split("/data/")[1].split("/")[0] for uri in exports)
    assert max(attempts.values()) == 1, attempts


def test_a_cache_that_cannot_be_written_is_only_slower(stage: Stage, tmp_path: Path) -> None:
    """I10: not one byte fits on the disk of `cacheDir`."""

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    cache = tmp_path / "cache"
    argv = [sys.executable, "-m", "dr", "backup", "appdata", "-o", "json"]
    done = subprocess.run(
        argv, cwd=ROOT, env=stage.dr.with_(DR_CACHE_DIR=str(cache)).environment, preexec_fn=no_room,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (item,) = json.loads(done.stdout)["items"]
    assert item["result"] == "committed"
    assert item["slot"] in points_of(stage.dr, SOURCE)
    assert not cache.exists() or not any(file.stat().st_size for file in cache.rglob("*") if file.is_file())
