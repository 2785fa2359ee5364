"""Application data, the whole loop through the command line: captured, lost for real, brought back, measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.app.captures import due_now
from dr.app.core import open_app
from dr.model.ids import Slot
from dr.model.timeline import parse_instant
from tests.lab.command import ROOT
from tests.lab.killing import captured, kill_and_run_again, points_of, trials
from tests.lab.staged import SOURCE, Stage, reached, staged

pytestmark = pytest.mark.lab


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, snapshot_granularity="1") as made:
        yield made


def test_lost_and_brought_back(stage: Stage) -> None:
    dr = stage.dr
    stage.write(20)
    dr.fine("backup", "appdata")
    stage.write(40)
    struck = stage.strike("bad-deploy")
    drilled = dr.fine("drill", "run", "appdata", "--disaster-at", struck, "--witness", str(stage.witness), "-o", "json")
    rows = {(item["component"], item["domain"]): item for item in drilled.items}
    logical, source = rows["appdata", "logical"], rows["appdata", "source"]
    for row in (logical, source):
        assert row["verdict"] == "met", row["findings"]
        assert row["rto"]["measured_s"] < row["rto"]["target_s"] == 3600
        assert row["rpo"]["acknowledged"] >= 340
        assert row["rpo"]["target_s"] == 900
        assert all(check["passed"] for check in row["checks"])
    # the export is older than the 40 later writes, the database's own history is not (what was made and deleted again
    # after the export is not missed)
    assert source["rpo"]["writes_lost"] >= 10 > logical["rpo"]["writes_lost"]
    assert 0 < source["rpo"]["oldest_lost_s"] < 900
    assert source["point"]["name"].startswith("points/")
    assert logical["point"]["name"] == "firestore-pitr"
    assert rows["audit", "source"]["verdict"] == rows["cluster", "source"]["verdict"] == "not drilled"

    stage.strike("database-deleted")
    plan = dr.fine("restore", "plan", "--point-in-time", struck, "--component", "appdata", "-o", "json").items[0]
    assert plan["method"] == "firestore-export", "a deleted database has no history"
    assert parse_instant(plan["instant"]) <= parse_instant(struck)
    restored = dr.fine(
        "restore", "--point-in-time", struck, "--component", "appdata", "--auto-approve", "-o", "json"
    ).items[0]
    assert restored["state"] == "done"
    steps = [step["step"] for step in restored["steps"]]
    assert steps[0] == "verify-point"


def test_a_drill_is_judged_without_a_writer_too(stage: Stage) -> None:
    stage.dr.fine("backup", "appdata")
    stage.write(5)
    answer = stage.dr.fine("drill", "run", "appdata", "-o", "json")
    row = next(item for item in answer.items if item["domain"] == "source" and item["component"] == "appdata")
    assert row["rpo"]["at_least"] is True
    assert row["rpo"]["writes_lost"] >= 1
    assert stage.dr.fine("drill", "list", "-o", "name").out.strip().startswith("appdata-")
    assert stage.dr.fine("drill", "report", "-o", "html").out.startswith("<!doctype html>")
    assert "<testsuite" in stage.dr.fine("drill", "report", "-o", "junit").out


def test_one_point_and_one_export_whenever_it_dies(stage: Stage) -> None:
    planned = trials(stage.dr, SOURCE)
    for trial in planned:
        kill_and_run_again(stage.dr, trial)
    points = points_of(stage.dr, SOURCE)
    assert {trial.slot.id for trial in planned} <= set(points)
    stage.dr.fine("points", "verify")
    stage.dr.fine("points", "rebuild")
    exports = [export.uri for export in stage.exports()]
    assert len(exports) == len(set(exports)) == len(planned) + 1


def test_two_runners_of_one_slot_make_one_point(stage: Stage) -> None:
    argv = [sys.executable, "-m", "dr", "backup", "--scheduled", "appdata", "-o", "json"]
    pipe = subprocess.PIPE
    reached(lambda now: now.second < 45)  # slots are due at whole minutes: both must see the same
    # each with a cache of its own, as on two machines
    homes = [stage.dr.with_(DR_CACHE_DIR=str(stage.dr.work / name)) for name in ("one", "two")]
    runners = [
        subprocess.Popen(argv, cwd=ROOT, env=home.environment, stdout=pipe, stderr=pipe, text=True) for home in homes
    ]
    said = [runner.communicate(timeout=120) for runner in runners]
    codes = [runner.returncode for runner in runners]
    assert set(codes) <= {0, 5}, (codes, said)
    assert 0 in codes, said
    (point,) = points_of(stage.dr, SOURCE).values()
    (export,) = stage.exports()
    assert str(point["slot"]) in export.uri
    assert stage.dr.fine("backup", "--scheduled", "appdata", "-o", "json").items == []


def test_a_runner_that_saw_the_slot_free_and_comes_late_is_locked_out(stage: Stage) -> None:
    """Both saw the same slot due; the first waits before its claim, the second captures it."""
    slot = scheduled_slot(stage)
    with stage.dr.waiting("tests.lab.killed_capture", slot.id, "wait", "0") as go_on:
        assert captured(stage.dr, slot)["captured"] == "committed"
        assert json.loads(go_on())["captured"] == "locked"
    assert list(points_of(stage.dr, SOURCE)) == [slot.id]
    assert len(stage.exports()) == 1


def test_a_runner_keeps_its_slot_while_it_works(stage: Stage) -> None:
    """It waits after its claim: whoever else is started for the slot, by a CronJob or by hand, is told so."""
    slot = scheduled_slot(stage)
    with stage.dr.waiting("tests.lab.killed_capture", slot.id, "wait", "1") as go_on:
        other = stage.dr("backup", "--scheduled", "appdata", "-o", "json")
        assert other.code == 5
        assert [item["result"] for item in other.items] == ["locked"]
        assert captured(stage.dr, slot)["captured"] == "locked"
        assert json.loads(go_on())["captured"] == "committed"
    assert list(points_of(stage.dr, SOURCE)) == [slot.id]
    assert len(stage.exports()) == 1
    assert stage.dr.fine("backup", "--scheduled", "appdata", "-o", "json").items == []


def scheduled_slot(stage: Stage) -> Slot:
    """What is due now, early enough in its minute that it still is when the test looks again."""
    reached(lambda now: now.second < 45)
    app = open_app(str(stage.lab / "dr.yaml"), str(stage.dr.work / "strategy.yaml"), "capture")
    (due,) = due_now(app, ["appdata"])
    return due.slot


def test_damage_is_named_and_fails_the_drill(stage: Stage) -> None:
    dr = stage.dr
    dr.fine("backup", "appdata")
    point = dr.fine("points", "list", "-o", "name", "--fresh").out.strip()
    stage.strike("vault-artefact-damaged", "--point", point, "--artefact", "*output-0", "--how", "flip")
    dr("points", "verify").refused(7, "output-0")
    answer = dr("drill", "run", "appdata", "--witness", str(stage.witness), "-o", "json")
    assert answer.code == 7
    row = next(item for item in answer.items if item["domain"] == "source" and item["component"] == "appdata")
    assert row["verdict"] == "failed"
    assert any("output-0" in finding for finding in row["findings"])
    late = ("--point-in-time", "2099-01-01T00:00:00Z", "--component", "appdata", "--auto-approve")
    dr("restore", *late).refused(2, "in the future", "nearest")


def committed(log: Path) -> set[str]:
    """Slots of the database that a service says it captured; the audit log's packs are made beside them."""
    whole = log.read_text().rpartition("\n")[0].splitlines()
    ended = (line for line in map(json.loads, whole) if line["event"] == "committed")
    return {line["slot"] for line in ended if line["slot"].startswith("appdata.")}


def test_the_service_makes_each_first_slot_at_once_and_stops_when_told(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    with log.open("wb") as out:
        service = subprocess.Popen(
            [sys.executable, "-m", "dr", "run", "--every", "0.5"], cwd=ROOT, env=stage.dr.environment, stdout=out
        )
    try:
        deadline = time.monotonic() + 90
        while not committed(log):
            assert time.monotonic() < deadline, log.read_text()
            assert service.poll() is None
            time.sleep(0.2)
    finally:
        service.terminate()
        assert service.wait(60) == 0
    (slot,) = committed(log)
    # a second look, by hand, finds the slot done (on a slow day the next one may be due meanwhile)
    again = stage.dr.fine("backup", "appdata", "--scheduled", "-o", "json").items
    assert slot not in [item["slot"] for item in again]
    assert set(points_of(stage.dr, SOURCE)) == {slot, *(item["slot"] for item in again)}
