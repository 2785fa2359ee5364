"""Do forecasts hold? Drills of small databases are fitted, drills of one ten times as large are held out and compared.

Both kinds run in one seeded order on the data-plane lab, so that the machine's other work is spread evenly over them. The forecast sees
the small ones only. Goal: the 95 % bound covers at least 90 % of 30 held-out drills. Resumable: what ran is in DIR/runs.jsonl and
in the lab's own control repository; `python -m benchmarks.forecast DIR` goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks.measure import OUT, report
from benchmarks.stack import lab
from dr.app.core import App, open_app
from dr.app.drills import run_drill
from dr.app.forecasting import time_models
from dr.model.forecast import Forecast
from dr.model.strategy import DeclaredSize, FailureDomain
from dr.model.timeline import parse_instant
from dr.plan.forecast import TimeModels, estimate, forecasts
from dr.plan.samples import WHOLE, Sample, Size
from dr.record.catalogue import list_points, read_point
from dr.scenarios import load_scenario
from lab.stage import lab_strategy

TENTHS = (60, 120, 180)
"""Documents of the databases whose drills are fitted."""
TENANTS, TIMES = 3, 10
FITTED, HELD, SEED = 12, 30, 6
GOAL = 0.9
SCENARIO = """apiVersion: dr/v1
kind: Scenario
metadata: {name: forecast}
why: Recovery times at several sizes.
rows: [{component: appdata, domains: [source]}]
"""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A folder with a lab in it."""

    folder: Path
    fitted: int = FITTED
    held: int = HELD
    tenths: tuple[int, ...] = TENTHS

    @property
    def lab(self) -> Path:
        return self.folder / "lab"

    @property
    def runs(self) -> Path:
        return self.folder / "runs.jsonl"

    def app(self) -> App:
        return open_app(str(self.lab / "dr.yaml"), str(self.folder / "strategy.yaml"), "restore", environ={})

    # --- points

    def prepare(self) -> list[datetime]:
        """The instant of a point of each size, the large one last; made once."""
        known = self.folder / "points.json"
        if not known.exists():
            (self.folder / "strategy.yaml").write_text(lab_strategy(1.0))
            (self.folder / "scenario.yaml").write_text(SCENARIO)
            self.dr("init", "--repositories")
            for documents in (*self.tenths, TIMES * self.tenths[-1]):
                self.fill(documents)
                self.dr("backup", "appdata")
            app = self.app()
            known.write_text(json.dumps([str(point.as_of) for point in list_points(app.vault("appdata"))]))
        return [parse_instant(text) for text in json.loads(known.read_text())]

    def fill(self, documents: int) -> None:
        """So many, with all that is written on record."""
        size = ("--tenants", str(TENANTS), "--documents", str(documents))
        record = ("--witness", str(self.folder / "witness.jsonl"))
        self.python("lab.energent", "fill", "--lab", str(self.lab), "--only", "firestore", *size, *record)

    def dr(self, *args: str) -> None:
        self.python(
            "dr", "--config", str(self.lab / "dr.yaml"), "--strategy", str(self.folder / "strategy.yaml"), *args
        )

    def python(self, *args: str) -> None:
        environment = {**os.environ, "GRPC_VERBOSITY": "NONE"}
        subprocess.run([sys.executable, "-m", *args], check=True, env=environment, stdout=subprocess.DEVNULL)

    # --- drills

    def order(self, count: int) -> list[int]:
        """Numbers of the points in the order of drilling: seeded, so that a resumed campaign goes on with the same."""
        numbers = [number % (count - 1) for number in range(self.fitted)] + [count - 1] * self.held
        random.Random(SEED).shuffle(numbers)
        return numbers

    def drill(self, instants: Sequence[datetime]) -> None:
        done = len(self.runs.read_text().splitlines()) if self.runs.exists() else 0
        app, scenario = self.app(), load_scenario(str(self.folder / "scenario.yaml"))
        for number in self.order(len(instants))[done:]:
            at = instants[number]
            witness = self.folder / "witness.jsonl"
            result = run_drill(app, scenario, requested=at, disaster_at=at, witness=witness)
            (row,) = [row for row in result.report.rows if row.source and row.rto.steps]
            line = {"drill": result.report.id, "point": number, "objects": row.objects, "bytes": row.size}
            with self.runs.open("a") as file:
                file.write(json.dumps({**line, "seconds": row.rto.measured_s, "verdict": str(row.verdict)}) + "\n")

    # --- the comparison

    def compare(self) -> dict[str, object]:
        app = self.app()
        models = time_models(app)
        spec = next(spec for spec in app.specs(["appdata"]))
        large = max(list_points(app.vault("appdata")), key=lambda point: point.as_of)
        counts = read_point(app.vault("appdata"), large).manifest.counts
        size = Size(large.size, max(counts.values()))
        kept = [sample for sample in models.samples if sample.source == spec.id]
        fitted = tuple(sample for sample in kept if sample.size.objects < size.objects)
        held = [sample for sample in kept if sample.size.objects == size.objects]
        found = self._forecast(replace(models, samples=fitted), app, size)
        sizes = {"fitted": _count(fitted), "sizes": _sizes(fitted), "projected": [size.bytes, size.objects]}
        return sizes | _told(found, held, fitted, size)

    def _forecast(self, models: TimeModels, app: App, size: Size) -> Forecast:
        """As `dr drill forecast` does it, for a strategy that declares the large size."""
        row = next(row for row in app.strategy.objectives if row.component == "appdata")
        sources = tuple(replace(spec, size=DeclaredSize(size.bytes, size.objects)) for spec in row.sources)
        table = replace(app.strategy, objectives=(replace(row, sources=sources, domains=(FailureDomain.SOURCE,)),))
        (found,) = forecasts(models, table)
        return found


def _count(samples: Sequence[Sample]) -> int:
    return len({sample.run for sample in samples})


def _sizes(samples: Sequence[Sample]) -> list[list[int]]:
    return [list(pair) for pair in sorted({(sample.size.bytes, sample.size.objects) for sample in samples})]


def _told(found: Forecast, held: Sequence[Sample], fitted: Sequence[Sample], size: Size) -> dict[str, object]:
    wholes = [sample.seconds for sample in held if sample.step == WHOLE and sample.ended]
    bound = found.bound_s or 0.0
    return {
        "outlook": str(found.outlook),
        "reasons": list(found.reasons),
        "median_s": found.median_s,
        "bound_s": found.bound_s,
        "held_out": len(wholes),
        "held_out_s": {"min": min(wholes), "median": statistics.median(wholes), "max": max(wholes)} if wholes else {},
        "covered": sum(seconds <= bound for seconds in wholes) / len(wholes) if wholes else 0.0,
        "goal": GOAL,
        "steps": {step: _step(step, fitted, held, size) for step in dict.fromkeys(one.step for one in fitted)},
    }


def _step(step: str, fitted: Sequence[Sample], held: Sequence[Sample], size: Size) -> dict[str, object]:
    found = estimate([sample for sample in fitted if sample.step == step], size)
    times = [sample.seconds for sample in held if sample.step == step and sample.ended]
    if found is None or found.high_s is None or not times:
        return {}
    covered = sum(seconds <= found.high_s for seconds in times) / len(times)
    return {
        "bound_s": round(found.high_s, 3),
        "median_s": round(statistics.median(times), 3),
        "covered": round(covered, 3),
    }


def campaign(folder: Path, fitted: int = FITTED, held: int = HELD) -> dict[str, object]:
    """All of it, or what is left of it."""
    plan = Campaign(folder.resolve(), fitted, held)
    if not plan.lab.exists():
        shutil.rmtree(plan.folder, ignore_errors=True)  # what was measured in a lab that is gone cannot be gone on with
        plan.folder.mkdir(parents=True)
    # left as it stands when something stops it: the next call goes on
    lab(plan.lab, "up", "--only", "data", "--snapshot-granularity", "1")
    instants = plan.prepare()
    plan.drill(instants)
    result = plan.compare()
    lab(plan.lab, "down")
    return result


def main(folder: str = str(OUT / "forecast")) -> None:
    found = campaign(Path(folder))
    report("forecast", found)
    if float(str(found["covered"])) < GOAL:
        sys.exit(f"the bound covers {found['covered']} of the held-out drills, not {GOAL}")


if __name__ == "__main__":
    main(*sys.argv[1:])
