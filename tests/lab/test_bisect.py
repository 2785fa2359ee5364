"""Slow encryption, with backups going on: `dr bisect` finds the last clean point, is killed on the way, goes on, leaves nothing."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.state import Lab
from tests.lab.command import ROOT
from tests.lab.staged import SOURCE, Stage, staged

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
CLEAN, WAVES, MOST = 3, 2, 5


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Five points: three clean ones, then one after each wave of the encryption."""
    home = tmp_path_factory.mktemp("bisect")
    with staged(home, documents=30, snapshot_granularity="1", requests_per_minute="1000") as made:
        for _ in range(CLEAN):
            made.dr.fine("backup", "appdata")
        for wave in range(1, WAVES + 1):
            made.strike("ransomware", "--wave", str(wave), "--waves", str(WAVES))
            made.dr.fine("backup", "appdata")
        yield made


def instants(stage: Stage) -> list[str]:
    items = stage.dr.fine("points", "list", "-o", "json", "--fresh").items
    return sorted(item["as_of"] for item in items if item["source"] == str(SOURCE))


def dying_once(stage: Stage, marker: Path) -> str:
    """The check; under the second copy the first try kills `dr` itself."""
    look = shlex.join([sys.executable, "-m", "tests.lab.look_encrypted", str(stage.lab)])
    kill = f'[ "$DR_GUESS" = 2 ] && [ ! -e {marker} ] && touch {marker} && kill -9 $PPID && exit 1'
    return f"cd {ROOT}; {kill}; exec {look}"


def test_the_last_clean_point_is_found_although_the_search_was_killed(stage: Stage, tmp_path: Path) -> None:
    points = instants(stage)
    assert len(points) == CLEAN + WAVES
    command = ("bisect", "--component", "appdata", "--check", dying_once(stage, tmp_path / "killed"), "-o", "json")
    killed = stage.dr(*command)
    assert killed.code == -9, killed.err[-1500:]
    search = next(word for word in killed.err.split() if word.startswith("bisect-")).rstrip(":")

    answer = stage.dr.fine("bisect", "--resume", search, "-o", "json")
    found = json.loads(answer.out)["bisect"]
    assert found["finding"] == "found"
    assert (found["last_clean"], found["first_bad"]) == (points[CLEAN - 1], points[CLEAN])
    assert found["restores"] <= MOST
    assert found["monotone"]
    assert found["teardown"]
    assert all(check["passed"] for check in found["teardown"])
    newest, oldest = answer.items[:2]
    assert (newest["candidate"], newest["answer"], newest["exit_code"]) == (points[-1], "bad", 1)
    assert (oldest["candidate"], oldest["answer"], oldest["exit_code"]) == (points[0], "clean", 0)
    assert "encrypted jobs in drill-" in newest["output"]["tail"]
    assert len({item["candidate"] for item in answer.items}) == len(answer.items), "nothing is restored twice"
    names = {item["output"]["tail"].split()[-1] for item in answer.items}
    assert len(names) == len(answer.items)
    project, api = Lab.load(stage.lab).project, stage.firestore("restore")
    assert [name for name in names if api.database(project, name)] == []

    again = stage.dr.fine("bisect", "--resume", search)
    assert "last clean" in again.out


def test_what_cannot_be_searched_is_said(stage: Stage) -> None:
    dr = stage.dr
    dr("bisect", "--component", "appdata").refused(2, "--check")
    dr("bisect", "--component", "appdata", "--check", "true", "--to", "2000-01-01T00:00:00Z").refused(
        2, "can be restored"
    )
    dr("bisect", "--component", "appdata", "--check", "true", "--max-cost", "0").refused(2, "above --max-cost")
    dr("bisect", "--resume", "bisect-x").refused(1, "was begun")
    broken = dr("bisect", "--component", "appdata", "--check", "no-such-program")
    broken.refused(1, "exit code 127", "no answer")
    clean = dr("bisect", "--component", "appdata", "--check", "true", "-o", "json")
    assert clean.code == 1
    assert json.loads(clean.out)["bisect"]["finding"] == "the newest is clean"
