"""What the demo stands on: a stage that prints, a world that runs commands and keeps their logs."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import yaml

from dr.strategy import default_strategy_text

ROOT = Path(__file__).parents[1]
STOP_S = 20
GRANULARITY_S = 1.0
"""The demo's "whole minute", so that it need not wait for one."""


class DemoFailed(click.ClickException):
    """The demo stops with one sentence and exit code 1."""


def die_with_parent() -> None:
    """In a child between fork and exec: SIGTERM when the parent dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass(slots=True)
class Stage:
    """Prints what happens, with seconds since the start."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str, *, bold: bool = False) -> None:
        click.secho(f"[{time.monotonic() - self.started:6.1f} s] {text}", bold=bold)

    def show(self, text: str) -> None:
        click.echo("\n".join(f"           {line}".rstrip() for line in text.rstrip().splitlines()))


@dataclass(frozen=True, slots=True)
class World:
    """Where this demo lives and how it calls things."""

    lab: Path
    out: Path
    stage: Stage

    @property
    def witness(self) -> Path:
        return self.out / "witness.jsonl"

    def environment(self) -> dict[str, str]:
        """What every command of the demo sees: the lab's settings and the demo's strategy."""
        mine = {"DR_CONFIG": str(self.lab / "dr.yaml"), "DR_STRATEGY": str(self.out / "strategy.yaml")}
        return {**os.environ, **mine, "GRPC_VERBOSITY": "NONE", "COLUMNS": "150"}

    def write_strategy(self) -> None:
        """The table that ships with `dr`, and what is true of the lab only: see `lab_strategy`."""
        (self.out / "strategy.yaml").write_text(lab_strategy(GRANULARITY_S))

    def python(self, *args: str) -> str:
        """Run `python -m ...` to its end; what it printed. Fails the demo when it fails."""
        return self._call(args, (0,))[1]

    def dr(self, *args: str, codes: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Run `dr`, shown; its exit code and output. Fails the demo on any exit code that is not expected."""
        self.stage.say(f"$ dr {shlex.join(args)}", bold=True)
        return self._call(("dr", *args), codes)

    def quiet_dr(self, *args: str) -> str:
        """Run `dr` for its output only."""
        return self._call(("dr", *args), (0, 3, 6, 7))[1]

    def _call(self, args: tuple[str, ...], codes: tuple[int, ...]) -> tuple[int, str]:
        argv = [sys.executable, "-m", *args]
        result = subprocess.run(argv, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False)
        if result.returncode not in codes:
            self.stage.show(result.stdout + result.stderr)
            raise DemoFailed(f"{' '.join(args)} ended with exit code {result.returncode}")
        return result.returncode, result.stdout

    def drill(self, scenario: str, struck: str, codes: tuple[int, ...], *more: str) -> tuple[int, str]:
        """A drill for a disaster that struck at that instant, judged by the writers' record."""
        judged = ("--disaster-at", struck, "--witness", str(self.witness))
        return self.dr("drill", "run", scenario, *judged, *more, codes=codes)

    def disaster(self, name: str) -> str:
        """Strike; the instant of the first destructive acknowledgement."""
        struck = json.loads(self.python("lab", "disaster", name, "--dir", str(self.lab)))
        self.stage.say(f"DISASTER: {name} at {struck['at']}", bold=True)
        return str(struck["at"])

    @contextmanager
    def background(self, name: str, *module: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process that lives as long as the block; SIGTERM ends it, its log is kept."""
        with (self.out / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT, env=self.environment(), stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
            try:
                yield process
            finally:
                stop(process)

    @contextmanager
    def writers(self, what: str) -> Iterator[None]:
        """Writers keep writing, and keep their own record of what was acknowledged."""
        args = ("lab.energent", "write", "--lab", str(self.lab), "--out", str(self.witness), "--only", what)
        with self.background("writers", *args):
            self.wait_for_writes(3)
            yield

    def wait_for_writes(self, count: int) -> None:
        """Until that many more writes were acknowledged."""
        goal = self._acknowledged() + count
        deadline = time.monotonic() + 60
        while self._acknowledged() < goal:
            if time.monotonic() > deadline:
                raise DemoFailed(f"the writers stopped writing; see {self.out / 'writers.log'}")
            time.sleep(0.1)

    def _acknowledged(self) -> int:
        return self.witness.read_bytes().count(b"\n") if self.witness.exists() else 0

    def wait_for_build(self, build: subprocess.Popen[bytes]) -> None:
        """Until the lab's binaries are built; says how far it is."""
        shown = ""
        while build.poll() is None:
            last = self._last_line("build")
            if last != shown:
                self.stage.say(f"building the lab's binaries: {last}")
                shown = last
            time.sleep(1)
        if build.returncode:
            raise DemoFailed(f"the lab's binaries could not be built: {self._last_line('build')}")

    def _last_line(self, name: str) -> str:
        return self.last_lines(name, 1).strip() or "starting"

    def last_lines(self, name: str, count: int) -> str:
        """The end of a log of this demo, without empty lines."""
        lines = (self.out / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if line.strip()][-count:])


def lab_strategy(granularity_s: float) -> str:
    """The default table; the lab's volumes are excluded by name (no CSI driver here could snapshot them), a snapshot time is a
    whole multiple of `granularity_s` instead of a minute, and the image of `dr` tries to get out of a drill's copy."""
    table = yaml.safe_load(default_strategy_text())
    for row in table["objectives"]:
        for source in row.get("sources", ()):
            if source["kind"] == "velero":
                source["options"]["excludeVolumes"] = ["energent-ai/*"]
                source["options"]["probe"] = {"image": "dr"}
            if source["kind"] == "firestore":
                source["options"]["snapshotGranularity"] = f"{granularity_s:g}s"
    return yaml.safe_dump(table, sort_keys=False)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when it does not heed it."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def new_world(out: Path) -> World:
    """An empty output folder with a lab of its own in it."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return World(lab=out.resolve() / "lab", out=out.resolve(), stage=Stage())
