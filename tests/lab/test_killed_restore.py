"""kill -9 of `dr restore` before and after each journalled write, then `dr restore resume`: as if nothing had happened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dr.model.plans import RestorePlan
from dr.model.timeline import format_instant
from dr.record.codec import decode, encode
from dr.vendors.firestore import Firestore
from tests.lab.command import Answer, Dr
from tests.lab.staged import Stage, staged

pytestmark = pytest.mark.lab
JOURNALLED = re.compile(r"restores/.*")
SIGKILLED = -9
PLAN_WRITE = 0
"""The plan itself is the first write: before it there is nothing to resume."""
SIDE_BY_SIDE = 2
"""Kills at a time: each has a database of its own."""
MADE = {
    "firestore-export": {"CreateDatabase": 1, "ImportDocuments": 1},
    "firestore-pitr": {"CloneDatabase": 1},
}
DOMAINS = {"firestore-export": "source", "firestore-pitr": "logical"}


@dataclass(frozen=True, slots=True)
class Site:
    """A database with a point, whose writer has stopped: every restore must hold just what was acknowledged."""

    stage: Stage
    home: Path
    firestore: Firestore
    acknowledged: dict[str, str] = field(repr=False)

    @property
    def dr(self) -> Dr:
        return self.stage.dr

    def plan(self, method: str) -> RestorePlan:
        """As a person reviews it."""
        file = self.home / f"{method}.json"
        now = format_instant(datetime.now(UTC))
        asked = ("--component", "appdata", "--domain", DOMAINS[method], "--point-in-time", now)
        self.dr.fine("restore", "plan", *asked, "--out", str(file))
        made = decode(file.read_bytes(), RestorePlan, str(file))
        file.unlink()
        assert [item.method for item in made.items] == [method]
        return made

    def variant(self, plan: RestorePlan, tag: str) -> Trial:
        """The same restore under another id, into another new database."""
        (item,) = plan.items
        # both methods may be planned for the same second, which the default name is made of
        database = f"{item.target.names['database']}-{item.method.removeprefix('firestore-')[0]}{tag}"
        names = {**item.target.names, "database": database}
        changed = replace(item, target=replace(item.target, names=names))
        other = replace(plan, id=f"{plan.id}-{tag}", items=(changed,))
        file = self.home / f"{other.id}.json"
        file.write_bytes(encode(other))
        return Trial(self, other.id, file, item.method, database)


@dataclass(frozen=True, slots=True)
class Trial:
    """One restore of its own."""

    site: Site
    id: str
    file: Path
    method: str
    database: str

    def run(self, action: str, index: int) -> Answer:
        return self.site.dr.module("tests.lab.killed_restore", str(self.file), action, str(index))

    def finish(self) -> Answer:
        return self.site.dr("restore", "resume", self.id, "-o", "json")

    def whole_once(self) -> None:
        """One database, made once, with just what was acknowledged."""
        assert self.site.stage.operations(self.site.firestore, self.database) == MADE[self.method], self
        assert self.site.stage.contents(self.site.firestore, self.database) == self.site.acknowledged, self


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("killed-restore")
    with staged(home, documents=100, snapshot_granularity="1", requests_per_minute="1000") as stage:
        stage.write(10)
        stage.dr.fine("backup", "appdata")
        yield Site(stage, home, stage.firestore("restore"), stage.acknowledged)


def undisturbed(trial: Trial) -> tuple[list[str], int]:
    """Its steps, and how many writes it journals."""
    answer = trial.run("none", 0)
    assert answer.code == 0, answer.err[-1500:]
    told = json.loads(answer.out.splitlines()[-1])
    assert [item["state"] for item in told["items"]] == ["done"], told
    count = len([name for name in told["writes"] if JOURNALLED.fullmatch(name)])
    assert count >= len(told["items"][0]["steps"]) + 3, "plan, claim, each step and the end are journalled"
    return told["items"][0]["steps"], count


@pytest.mark.parametrize("method", ["firestore-pitr", "firestore-export"])
def test_a_restore_is_whole_and_made_once_wherever_it_dies(site: Site, method: str) -> None:
    plan = site.plan(method)
    first = site.variant(plan, "w")
    steps, count = undisturbed(first)
    first.whole_once()
    kills = [(action, index) for action in ("kill-before", "kill-after") for index in range(count)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for done in [pool.submit(kill_and_resume, site, plan, kill, steps) for kill in kills]:
            done.result()


def kill_and_resume(site: Site, plan: RestorePlan, kill: tuple[str, int], steps: list[str]) -> None:
    """The process must really have died; the resumed one must tell of the same steps."""
    action, index = kill
    trial = site.variant(plan, f"{action[5]}{index}")
    killed = trial.run(action, index)
    assert killed.code == SIGKILLED, (trial, killed)
    if kill == ("kill-before", PLAN_WRITE):
        trial.finish().refused(1, "no restore", "was begun")
        site.dr.fine("restore", "apply", str(trial.file))
    answer = trial.finish()
    assert answer.code == 0, (trial, answer.err[-1500:])
    (item,) = answer.items
    assert (item["state"], [step["step"] for step in item["steps"]]) == ("done", steps), trial
    trial.whole_once()


def test_resuming_a_finished_restore_changes_nothing(site: Site) -> None:
    trial = site.variant(site.plan("firestore-export"), "again")
    first = site.dr.fine("restore", "apply", str(trial.file), "-o", "json")
    assert site.dr.fine("restore", "resume", trial.id, "-o", "json").items == first.items
    assert site.dr.fine("restore", "apply", str(trial.file), "-o", "json").items == first.items
    trial.whole_once()


def test_a_second_process_is_refused_while_the_first_applies(site: Site) -> None:
    trial = site.variant(site.plan("firestore-export"), "two")
    with site.dr.waiting("tests.lab.killed_restore", str(trial.file), "wait", "4") as go_on:
        trial.finish().refused(5, "is being worked on by process")
        site.dr("restore", "apply", str(trial.file)).refused(5, "is being worked on by process")
        (item,) = json.loads(go_on())["items"]
    assert item["state"] == "done", item
    trial.whole_once()
