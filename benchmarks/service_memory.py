"""Memory of `dr run` in steady state (goal <= 250 MB): on the data lab, capturing the database every few seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.measure import report, run_once, spread
from benchmarks.stack import DataLab, data_lab
from lab.stage import lab_strategy

CAPTURES = 120
GOAL_MB = 250
DOCUMENTS = 2000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, data_lab(Path(folder) / "lab") as lab:
        (lab.directory / "strategy.yaml").write_text(busy())
        fill = ["lab.energent", "fill", "--lab", str(lab.directory), "--tenants", "5", "--documents", str(DOCUMENTS)]
        run_once([sys.executable, "-m", *fill, "--only", "firestore"], lab.environment())
        report("service_memory", measure(lab))


def busy() -> str:
    """The rows that the data plane can capture, with an RPO so short that captures follow one another."""
    table = yaml.safe_load(lab_strategy(1.0))
    for row in table["objectives"]:
        if row["component"] in ("cluster", "config"):
            row.pop("sources", None)  # no Kubernetes here
        if row["component"] == "appdata":
            row["rpo"] = "12s"
    return str(yaml.safe_dump(table, sort_keys=False))


def measure(lab: DataLab) -> dict[str, object]:
    log = lab.directory / "run.log"
    with log.open("wb") as out:
        argv = [sys.executable, "-m", "dr", "run", "--every", "1"]
        environment = {**os.environ, **lab.environment()}
        service = subprocess.Popen(argv, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            sizes = watched(service, log)
        finally:
            service.terminate()
            code = service.wait(60)
    steady = sizes[len(sizes) // 2 :]
    return {
        "captures": CAPTURES,
        "documents": DOCUMENTS,
        "exit": code,
        "resident_mb": spread(sizes),
        "steady_mb": spread(steady),
        "growth_mb_over_second_half": round(steady[-1] - steady[0], 1),
        "every_tenth_mb": sizes[::10],
        "goal_mb": GOAL_MB,
    }


def watched(service: subprocess.Popen[bytes], log: Path) -> list[float]:
    """Resident size at each commit."""
    sizes: list[float] = []
    deadline = time.monotonic() + 900
    while len(sizes) < CAPTURES:
        if service.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the service made {len(sizes)} captures only: {log.read_text()[-2000:]}")
        if committed(log) > len(sizes):
            sizes.append(resident_mb(service.pid))
        time.sleep(0.1)
    return sizes


def committed(log: Path) -> int:
    lines = [line for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
    return sum(json.loads(line)["event"] == "committed" for line in lines)


def resident_mb(pid: int) -> float:
    """With everything that the process has mapped and touched."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError(f"process {pid} has no resident size")


if __name__ == "__main__":
    main()
