"""A plan of all four rows, killed at every step boundary and resumed: the same result, made once.

`python -m tests.lab.killed_plans [--lab DIR] --out FILE`: the whole campaign; FILE (JSON lines) remembers what was done, so that
it goes on where it was stopped. `--share 0.1 --seed 7`: a part of it.

The boundaries come from the journal of an undisturbed run: every write of the restore's journal, before it and after it. One
plan is killed at as many of them as its own run still comes by, then the next one.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from dr.app.core import App, open_app
from dr.app.restores import planner, progress_of
from dr.model.plans import RestorePlan, Target
from dr.model.strategy import FailureDomain
from dr.plan.standing import Standing
from dr.ports import Json, RestoreWork
from dr.record.codec import encode
from dr.run.planning import Want
from dr.run.recipes import with_steps
from dr.run.restore import RestoreItem, works_of
from lab import lifecycle
from tests.lab.command import Dr

SIGKILLED = -9
KILLS = 20
"""Of one plan: what a stopped campaign has to do again."""
DOMAINS = {"appdata": FailureDomain.SOURCE, "cluster": FailureDomain.SOURCE}
"""From points; the living history of a database is short in a lab. The other rows: logical."""


class Boundary(NamedTuple):
    """One write of the journal, without the plan's name and its epoch; `action`: before it or after it."""

    action: str
    write: str

    def pattern(self) -> str:
        """Of the write in any plan and epoch."""
        return r"restores/[^/]+/" + _escaped(self.write)


def _escaped(write: str) -> str:
    return re.escape(write).replace("EPOCH", r"\d+")


def general(write: str, plan: str) -> str | None:
    """`restores/<plan>/0001/03-x.json` -> `EPOCH/03-x.json`; None for what is no boundary (signs of life, other places)."""
    root = f"restores/{plan}/"
    rest = write.removeprefix(root)
    if rest == write or "/alive-" in rest:
        return None
    return re.sub(r"^(claim-)?\d+", r"\1EPOCH", rest)


@dataclass(frozen=True)
class Campaign:
    """A lab with a point of each row, that nobody writes to."""

    dr: Dr
    app: App
    requested: datetime

    # --- one plan

    def plan(self) -> RestorePlan:
        """Isolated, under names of its own."""
        plan_id, prefix = f"kill-{secrets.token_hex(4)}", f"kill-{secrets.token_hex(3)}-"
        wants = [
            Want(spec, DOMAINS.get(spec.id.component, FailureDomain.LOGICAL), Target(isolated=True, prefix=prefix))
            for spec in self.app.specs()
        ]
        made = planner(self.app).plan(plan_id, self.requested, wants, datetime.now(UTC))
        assert not made.gaps, made.gaps
        assert {item.source.component for item in made.items} == {"cluster", "appdata", "config", "audit"}
        return with_steps(made, planner(self.app).items(made), {})

    def saved(self, plan: RestorePlan) -> Path:
        file = self.dr.work / f"{plan.id}.json"
        file.write_bytes(encode(plan))
        return file

    def whole(self, plan: RestorePlan) -> dict[str, str]:
        """`item path` -> hash of all that the copy holds, under the names of the source; every check of the copy passes."""
        found: dict[str, str] = {}
        outcomes = self._outcomes(plan)
        for item, work in self._works(plan):
            mine = outcomes.get(item.key, {})
            failed = [check for check in item.restorer.checks(work, mine) if not check.passed]
            assert not failed, (item.key, failed)
            found |= {f"{item.key} {one.path}": one.sha256 for one in item.restorer.contents(work, mine)}
        return found

    def gone(self, plan: RestorePlan) -> None:
        """Torn down: whatever is left is named."""
        outcomes = self._outcomes(plan)
        for item, work in self._works(plan):
            left = [check for check in item.restorer.teardown(work, outcomes.get(item.key, {})) if not check.passed]
            assert not left, (item.key, left)

    def _works(self, plan: RestorePlan) -> Iterator[tuple[RestoreItem, RestoreWork]]:
        items = planner(self.app).items(plan)
        return zip(items, works_of(plan, items), strict=True)

    def _outcomes(self, plan: RestorePlan) -> dict[str, dict[str, Json]]:
        found: dict[str, dict[str, Json]] = {}
        for outcome in self.app.journal("restores").read(plan.id).record.outcomes:
            for item in plan.items:
                if outcome.step.startswith(f"{item.key}."):
                    found.setdefault(item.key, {})[outcome.step.removeprefix(f"{item.key}.")] = outcome.data
        return found

    # --- killing

    def undisturbed(self) -> tuple[tuple[Boundary, ...], dict[str, str]]:
        """Every boundary, in the order of the journal, and what the result is."""
        plan = self.plan()
        answer = self.dr.module("tests.lab.killed_restore", str(self.saved(plan)), "none", "0")
        assert answer.code == 0, answer.err[-1500:]
        told = json.loads(answer.out.splitlines()[-1])
        assert [item["state"] for item in told["items"]] == ["done"] * len(plan.items), told["items"]
        writes = told["writes"]
        names = [name for write in writes if (name := general(write, plan.id))]
        steps = sum(len(item.steps) for item in plan.items)
        assert len(names) == steps + 3, f"plan, claim, {steps} steps and the end, not {names}"
        result = self.whole(plan)
        self.gone(plan)
        return tuple(Boundary(action, name) for name in names for action in ("kill-before", "kill-after")), result

    def trial(self, wanted: Sequence[Boundary], result: dict[str, str]) -> tuple[Boundary, ...]:
        """One plan, killed at all of `wanted` that it still comes by; then resumed to its end. Those it was killed at."""
        plan = self.plan()
        file, hit = self.saved(plan), list[Boundary]()
        for boundary in wanted:
            if len(hit) == KILLS or self._passed(plan, boundary):
                continue
            killed = self.dr.module("tests.lab.killed_restore", str(file), boundary.action, "0", boundary.pattern())
            if killed.code != SIGKILLED:
                assert killed.code == 0, (boundary, killed.err[-1500:])
                continue
            hit.append(boundary)
            self._told(plan)
        ended = self.dr.fine("restore", "apply", str(file), "-o", "json")
        assert [item["state"] for item in ended.items] == ["done"] * len(plan.items), ended.items
        assert [len(item["steps"]) for item in ended.items] == [len(item.steps) for item in plan.items]
        assert self._standing(plan).whole
        other = {path for path, _ in self.whole(plan).items() ^ result.items()}
        assert not other, f"not the result of an undisturbed restore: {sorted(other)[:20]}; killed at {hit}"
        self.gone(plan)
        return tuple(hit)

    def _passed(self, plan: RestorePlan, boundary: Boundary) -> bool:
        """The journal has it already, so that it will not be written again; a claim and an end come with every try."""
        if "claim-" in boundary.write or "end.json" in boundary.write:
            return False
        pattern = re.compile(boundary.pattern())
        return any(pattern.fullmatch(info.name) for info in self.app.control.list(f"restores/{plan.id}/"))

    def _told(self, plan: RestorePlan) -> None:
        """`restore status` says how far it is, once the plan itself is there."""
        if self.app.control.stat(f"restores/{plan.id}/plan.json") is not None:
            one = self._standing(plan)
            assert not one.alive, "its owner was killed"
            assert len(one.steps) == sum(len(item.steps) for item in plan.items)

    def _standing(self, plan: RestorePlan) -> Standing:
        return progress_of(self.app, plan.id)


def chosen(boundaries: Sequence[Boundary], share: float, seed: int) -> tuple[Boundary, ...]:
    """A seeded part, in the order of the journal; all of them with a share of 1."""
    count = max(1, round(len(boundaries) * share))
    picked = set(random.Random(seed).sample(range(len(boundaries)), count))
    return tuple(one for index, one in enumerate(boundaries) if index in picked)


def run(campaign: Campaign, share: float, seed: int, out: Path) -> int:
    """Until every chosen boundary was one at which a restore died. How many there were."""
    boundaries, result = campaign.undisturbed()
    done = {Boundary(*json.loads(line)) for line in out.read_text().splitlines()} if out.exists() else set()
    wanted = chosen(boundaries, share, seed)
    while left := [one for one in wanted if one not in done]:
        hit = campaign.trial(left, result)
        assert hit, f"no plan comes by {left[0]} any more"
        done |= set(hit)
        with out.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in hit)
        print(f"{len(wanted) - len(left) + len(hit)} of {len(wanted)} boundaries", flush=True)
    return len(wanted)


def open_campaign(dr: Dr) -> Campaign:
    """Over a lab that has a point of each row."""
    app = open_app(None, None, "restore", environ=dr.environment)
    return Campaign(dr, app, datetime.now(UTC).replace(microsecond=0))


@contextmanager
def some_lab(running: Path | None) -> Iterator[Path]:
    """The one that runs, or one of its own with a filled platform."""
    if running is not None:
        yield running.resolve()
        return
    with TemporaryDirectory(prefix="killed-plans-") as folder:
        directory = Path(folder) / "lab"
        try:
            lifecycle.up(lifecycle.Wish(directory, options={"snapshot-granularity": "1"}))
            filled = Dr(directory, Path(folder)).module(
                "lab.energent", "fill", "--lab", str(directory), "--tenants", "3"
            )
            assert filled.code == 0, filled.err
            yield directory
        finally:
            lifecycle.down(directory)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--lab", type=Path, help="one that runs, and that nobody writes to; else one is started")
    parser.add_argument("--out", type=Path, default=Path("out/killed-plans.jsonl"))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with some_lab(args.lab) as lab, TemporaryDirectory() as work:
        dr = Dr(lab, Path(work))
        dr.fine("init", "--repositories")
        dr.fine("backup")
        count = run(open_campaign(dr), args.share, args.seed, args.out)
        print(f"killed at {count} boundaries, resumed to the same result each time", file=sys.stderr)


if __name__ == "__main__":
    main()
