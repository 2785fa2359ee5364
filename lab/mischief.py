"""Random kills in a lab, seeded, each recorded: what was down from when to when."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lab.soak_verdict import Disturbance
from lab.state import Lab, marked

PAUSE_S = (8.0, 20.0)
DOWN_S = (0.5, 3.0)
PARTS = ("velero", "apiserver")


@dataclass
class Mischief:
    """Kills, at random moments, one of: a process of `dr` in a Pod, Velero, the API server. All are SIGKILL."""

    lab: Lab
    rng: random.Random
    pauses: tuple[float, float] = PAUSE_S
    done: list[Disturbance] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """As long as the block; what was killed stands again at its end."""
        thread = threading.Thread(target=self._run, name="mischief", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.rng.uniform(*self.pauses)):
            self._strike(self.rng.choice(("dr", "dr", *PARTS)))

    def _strike(self, what: str) -> None:
        start = datetime.now(UTC)
        if what == "dr":
            victims = dr_processes(self.lab)
            if not victims:
                return
            kill(self.rng.choice(victims))
        else:
            self._restart(what)
        self.done.append(Disturbance(what, start, datetime.now(UTC)))

    def _restart(self, part: str) -> None:
        self.lab.ask({"op": "kill", "part": part})
        # not a wait for something: how long it is away is part of the dice
        self._stop.wait(self.rng.uniform(*DOWN_S))
        self.lab.ask({"op": "start", "part": part}, timeout_s=120)


def dr_processes(lab: Lab) -> list[int]:
    """Processes of this lab that run `dr` inside a Pod. A container's environment is its own, without the lab's mark: its
    launcher, which is its parent, bears that."""
    return [
        pid
        for pid in _pids()
        if _is_dr(pid) and b"KUBERNETES_SERVICE_HOST=" in _read(pid, "environ") and marked(_parent(pid)) == lab.id
    ]


def kill(pid: int) -> None:
    """SIGKILL; gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _pids() -> Sequence[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> str:
    """Its pid; empty when the process is gone."""
    lines = _read(pid, "status").decode().splitlines()
    return next((line.split()[1] for line in lines if line.startswith("PPid:")), "")


def _is_dr(pid: int) -> bool:
    words = _read(pid, "cmdline").split(b"\0")
    return any(words[i : i + 2] == [b"-m", b"dr"] for i in range(len(words)))


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
