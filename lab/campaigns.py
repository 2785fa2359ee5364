"""`python -m lab campaigns` (`make soak`): everything that takes too long for the suite, whole, one after the other.

Each part runs in a process of its own. A part that passed is not run again on the same tree; one that was stopped goes on where it
was, if it can (the soak cannot: half an hour is one piece). What is seen of another tree is evidence of another program: it
has a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from lab import lifecycle
from lab.stage import ROOT
from lab.state import Lab, LabError

PASSED = "passed.jsonl"


@dataclass(frozen=True, slots=True)
class Part:
    """A command that ends with 0 when all of its campaign held. `lab`: it wants one that runs, in this folder, and remembers in
    `home` what it saw there."""

    name: str
    why: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    lab: Path | None = None
    home: Path = Path()


def parts(out: Path, minutes: float) -> tuple[Part, ...]:
    """In the order of what is most likely to find something."""
    ours, faults = out / "mutation-lab", out / "mutation"
    return (
        Part("soak", "the shipped manifests alone, with kills at random",
             ("lab", "soak", "--minutes", f"{minutes:g}", "--out", str(out / "soak"))),
        Part("kills", "a plan of all four rows, killed at every step boundary",
             ("tests.lab.killed_plans", "--out", str(out / "killed-plans.jsonl"))),
        Part("scenarios", "every disaster and its drill",
             ("pytest", "tests/cluster/test_scenarios.py", "-q", "-p", "no:cacheprovider"),
             {"DR_SCENARIOS": "all", "DR_PASSED": str(out / "scenarios.txt")}),
        Part("mutation", "every fault in copies of recovery points, and 100 clean drills",
             ("lab", "mutation", "--dir", str(ours), "--out", str(faults)), lab=ours, home=faults),
        Part("forecast", "forecasts of small drills held against thirty large ones",
             ("benchmarks.forecast", str(out / "forecast"))),
    )  # fmt: skip


def tree() -> str:
    """Names what is run: the commit, and what was changed since."""
    head = _git("rev-parse", "HEAD").strip()
    return hashlib.sha256((head + _git("diff", "HEAD")).encode()).hexdigest()[:12]


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False).stdout


@dataclass(frozen=True, slots=True)
class Record:
    """Which parts passed: one line each."""

    file: Path

    def passed(self) -> dict[str, float]:
        """Name -> seconds of the run that passed."""
        if not self.file.exists():
            return {}
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        return {line["part"]: line["seconds"] for line in lines}

    def add(self, part: str, seconds: float) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"part": part, "seconds": round(seconds, 1)}) + "\n")


@click.command("campaigns")
@click.option("--minutes", default=30.0, show_default=True, help="Of the soak.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/campaigns"), show_default=True)
@click.option("--only", "wanted", multiple=True, metavar="PART", help="Repeatable; default: all.")
def campaigns(minutes: float, out: Path, wanted: Sequence[str]) -> None:
    """The soak, the kills, the scenarios, the faults and the forecasts, whole. Stopped, it goes on when it is run again."""
    folder = out.absolute() / tree()
    folder.mkdir(parents=True, exist_ok=True)
    known = parts(folder, minutes)
    if unknown := set(wanted) - {part.name for part in known}:
        raise click.UsageError(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in known)}"
        )
    record = Record(folder / PASSED)
    failed = [
        part.name for part in known if part.name in (wanted or {p.name for p in known}) and not settle(part, record)
    ]
    for name, seconds in record.passed().items():
        click.echo(f"{name}: passed in {seconds:g} s")
    if failed:
        raise LabError(f"did not pass: {', '.join(failed)}; what was seen is in {folder}")


def settle(part: Part, record: Record) -> bool:
    """Run what has not passed yet; whether it has passed now."""
    if part.name in record.passed():
        return True
    click.secho(f"{part.name}: {part.why}", bold=True)
    began = time.monotonic()
    if part.lab is not None:
        _ready(part.lab, part.home)
    environment = {**os.environ, **part.environment}
    code = subprocess.run([sys.executable, "-m", *part.argv], cwd=ROOT, env=environment, check=False).returncode
    if part.lab is not None and code == 0:
        lifecycle.down(part.lab)
    if code == 0:
        record.add(part.name, time.monotonic() - began)
    return code == 0


def _ready(directory: Path, home: Path) -> None:
    """The lab that an interrupted campaign was over, or a new one: what was recorded over one that is gone goes with it."""
    try:
        Lab.load(directory).ask({"op": "status"})
    except LabError:
        lifecycle.down(directory)
        shutil.rmtree(home, ignore_errors=True)
        lifecycle.up(lifecycle.Wish(directory, options={"snapshot-granularity": "1"}))
