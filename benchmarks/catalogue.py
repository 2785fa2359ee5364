"""10,000 points: `dr status` from the cache (goal <= 300 ms), a cold `dr restore plan` from the buckets alone (goal <= 10 s).

The buckets are the lab's Cloud Storage server; nothing is cached before the cold runs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import report, run_once, spread
from benchmarks.stack import DataLab, data_lab
from dr.model.ids import Slot, SourceId
from dr.model.points import Artefact, PointManifest
from dr.model.strategy import FailureDomain
from dr.model.timeline import floor_to, format_instant
from dr.ports import ObjectStore
from dr.record.codec import encode
from dr.record.layout import ensure_format
from dr.record.summary import metadata_of

POINTS = 10_000
RUNS = 5
CADENCE = timedelta(minutes=8)
SOURCE = SourceId("appdata", "firestore", "energent-metadata-production")


def manifest(as_of: datetime) -> PointManifest:
    """As large as a real one: an export of eight files."""
    slot = Slot(SOURCE, as_of)
    files = tuple(
        Artefact(f"data/{slot.id}/1/export/output-{i}", "firestore/output", 1 << 20, "AAAAAA==", f"{i:064x}", 1, 1000)
        for i in range(8)
    )
    return PointManifest(
        slot=slot,
        epoch=1,
        method="firestore-export",
        as_of=as_of,
        started=as_of,
        committed=as_of + timedelta(seconds=40),
        artefacts=files,
        counts={"documents": 8000},
        checks=(),
        survives=tuple(FailureDomain),
        retain_until=as_of + timedelta(days=90),
        tool_version="bench",
        details={"project": "energent-lab", "database": SOURCE.name, "uid": "u", "location": "us-central1"},
    )


def fill(vault: ObjectStore, newest: datetime) -> None:
    """Ten thousand committed manifests, as a capture writes them."""

    def put(number: int) -> None:
        one = replace(manifest(newest - CADENCE * number))
        vault.put(one.name, encode(one), metadata=metadata_of(one))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(POINTS)))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, data_lab(Path(folder) / "lab") as lab:
        newest = floor_to(datetime.now(UTC), CADENCE)
        vault = lab.store("energent-vault-appdata")
        ensure_format(vault, "vault")
        fill(vault, newest)
        report("catalogue", measure(lab, newest))


def measure(lab: DataLab, newest: datetime) -> dict[str, object]:
    environment = lab.environment()
    status = [sys.executable, "-m", "dr", "status", "-o", "json"]
    wanted = format_instant(newest - CADENCE * (POINTS // 2) + timedelta(minutes=1))
    plan = [sys.executable, "-m", "dr", "restore", "plan", "--component", "appdata", "--domain", "source"]
    plan += ["--point-in-time", wanted, "-o", "json"]

    def cold() -> float:
        shutil.rmtree(lab.cache, ignore_errors=True)
        return run_once(plan, environment)

    run_once([*status, "--fresh"], environment, codes=(0, 6))
    cached = [run_once(status, environment, codes=(0, 6)) for _ in range(RUNS)]
    colds = [cold() for _ in range(RUNS)]
    return {
        "points": POINTS,
        "status_cached_s": spread(cached),
        "status_goal_s": 0.3,
        "restore_plan_cold_s": spread(colds),
        "restore_plan_goal_s": 10.0,
    }


if __name__ == "__main__":
    main()
