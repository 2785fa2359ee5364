"""`python -m lab mutation`: a world with points, and a campaign of `dr drill mutate` over it. Resumable: run it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from lab.stage import ROOT, lab_strategy, stop
from lab.state import Lab, LabError

SCRATCH = "gs://energent-dr-scratch"
FRESH = ("--fault", "appdata.document-added", "--clean", "0")
"""What only the database's history tells, which in the lab reaches back four minutes: tried before anything else."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A running lab, and a folder with strategy, witness and cache."""

    lab: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        mine = {"DR_CONFIG": str(self.lab / "dr.yaml"), "DR_STRATEGY": str(self.home / "strategy.yaml")}
        return {**os.environ, **mine, "DR_CACHE_DIR": str(self.home / "cache"), "GRPC_VERBOSITY": "NONE"}

    @property
    def witness(self) -> Path:
        return self.home / "witness.jsonl"

    def run(self, *argv: str, codes: tuple[int, ...] = (0,)) -> str:
        """`python -m ...` to its end. Raises LabError with what it said when it fails."""
        command = [sys.executable, "-m", *argv]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode not in codes:
            raise LabError(f"{' '.join(argv)} ended with exit code {done.returncode}: {done.stdout[-1500:]}")
        return done.stdout

    def prepare(self, documents: int, tenants: int = 3) -> None:
        """Fill the world anew, and capture it twice with changes in between and after; what stands already is taken."""
        if (self.home / "prepared").exists():
            return
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "strategy.yaml").write_text(lab_strategy(1.0))
        size = ("--tenants", str(tenants), "--documents", str(documents), "--witness", str(self.witness))
        self.run("lab.energent", "wipe", "--lab", str(self.lab), "--witness", str(self.witness))
        self.run("lab.energent", "fill", "--lab", str(self.lab), *size)
        self.run("dr", "init", "--repositories")
        for _ in range(2):
            self.write(2)
            self.run("dr", "backup")
        with self.following():
            self.write(8)  # so that something lies behind the last pack that did not change just now
        (self.home / "prepared").touch()

    @contextmanager
    def following(self) -> Iterator[None]:
        """The service follows the logs in the block, so that there are segments behind the last pack."""
        with (self.home / "service.log").open("ab") as log:
            argv = [sys.executable, "-m", "dr", "run"]
            service = subprocess.Popen(argv, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
            try:
                yield
            finally:
                stop(service)

    def write(self, seconds: float) -> None:
        """Writes of every kind, recorded."""
        words = ("--lab", str(self.lab), "--out", str(self.witness), "--only", "all", "--rate", "5")
        self.run("lab.energent", "write", *words, "--seconds", str(seconds))

    def campaign(self, *more: str) -> dict[str, object]:
        """What `dr drill mutate` reports; its misses too."""
        words = ("drill", "mutate", "--witness", str(self.witness), "--scratch", SCRATCH, "-o", "json", *more)
        found = json.loads(self.run("dr", *words, codes=(0, 7)))
        assert isinstance(found, dict)
        return found


@click.command("mutation")
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=".lab", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="out/mutation", show_default=True)
@click.option("--documents", default=60, show_default=True, help="Of each tenant.")
@click.option("--clean", default=25, show_default=True, help="Clean drills of each row: 100 over four rows.")
@click.option("--seed", default=1, show_default=True)
@click.argument("more", nargs=-1)
def mutation(directory: Path, out: Path, documents: int, clean: int, seed: int, more: Sequence[str]) -> None:
    """Every fault in copies of the lab's points, and clean drills. Stopped, it goes on where it was when it is run again."""
    ground = Ground(Lab.load(directory).directory, out.absolute())
    ground.prepare(documents)
    begun = ground.home / "begun"
    if not begun.exists():
        fresh = ground.campaign(*FRESH)
        if not fresh["passed"]:
            raise click.ClickException(f"missed: {fresh['missed']}")
    words = ("--resume",) if begun.exists() else ("--seed", str(seed), "--clean", str(clean))
    begun.touch()
    report = ground.campaign(*words, *more)
    (ground.home / "mutation.json").write_text(json.dumps(report, indent=1))
    if not report["passed"]:
        raise click.ClickException(f"missed: {report['missed']}; false alarms: {report['false_alarms']}")
    click.echo(
        f"{report['caught']} of {report['planted']} caught; false alarms in {report['clean']} clean drills: none"
    )
