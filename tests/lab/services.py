"""`dr run` as a process of its own: what it says, and how it is ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.stage import lab_strategy
from tests.lab.command import ROOT, Dr

DEADLINE_S = 90


@dataclass(frozen=True, slots=True)
class Running:
    """One replica."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> list[dict[str, Any]]:
        """Its JSON lines so far; a line that is not whole yet is left out."""
        lines = self.log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def await_(self, event: str) -> dict[str, Any]:
        """The first line of that event."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for line in self.said:
                if line["event"] == event:
                    return line
            assert time.monotonic() < deadline, (event, self.log.read_text()[-3000:])
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def await_stopped(self) -> None:
        """Until the kernel has stopped it."""
        deadline = time.monotonic() + DEADLINE_S
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def end(self) -> None:
        """SIGTERM; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log.read_text()[-3000:]


@contextmanager
def service(dr: Dr, name: str, *module: str) -> Iterator[Running]:
    """`dr run` that looks twice a second, or another module; killed at the end of the block if it still runs."""
    log = dr.work / f"{name}.log"
    argv = [sys.executable, "-m", *(module or ("dr", "run", "--every", "0.5"))]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=ROOT, env=dr.environment, stdout=out, stderr=out)
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


def only(component: str, rpo: str) -> str:
    """The lab's strategy with the sources of one row, and another RPO for it."""
    table = yaml.safe_load(lab_strategy(1.0))
    for row in table["objectives"]:
        if row["component"] == component:
            row["rpo"] = rpo
        else:
            row.pop("sources", None)
    return str(yaml.safe_dump(table, sort_keys=False))
