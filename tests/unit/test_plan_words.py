"""What a person, and a program, is told of a restore plan."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from dr.cli.progress import Watcher
from dr.model.plans import DeclaredStep, Offer, RestorePlan
from dr.model.points import Gap, Nearest
from dr.model.review import Review
from dr.model.strategy import FailureDomain
from dr.plan.standing import standing
from dr.ports import Progress
from dr.record.codec import decode, encode
from dr.report.restore_json import restore_plan, standing_item
from dr.report.restores import begun_sheet, plan_sheet
from dr.report.sheet import plain
from dr.run.tracking import Tracker
from tests.unit.test_plan_graph import APPDATA, CLUSTER, PLAN, T0, key, record

HOUR = timedelta(hours=1)
REVIEW = Review(
    creates={"configmaps": 2},
    changes=tuple(f"configmaps app/c{n}: data.x" for n in range(9)),
    lost=("configmaps app/c1, changed since",),
    skipped=("persistentvolumeclaims app/data: its data stays as it lives",),
    world={"configmaps app/c1": "uid/7"},
)
WHOLE: RestorePlan = replace(
    PLAN,
    items=(replace(CLUSTER, instant=T0 - HOUR, review=REVIEW), APPDATA),
    gaps=(Gap(APPDATA.source, FailureDomain.REGION, T0, "nothing is there", None, None,
              (Nearest(FailureDomain.LOGICAL, T0 - HOUR, T0), Nearest(FailureDomain.REGION, None, None))),),
    max_skew=2 * HOUR,
    offer=Offer(T0 - HOUR, timedelta(0)),
)  # fmt: skip


def test_a_plan_is_stored_and_read_back_with_all_that_it_says() -> None:
    assert decode(encode(WHOLE), RestorePlan, "plan.json") == WHOLE


def test_a_plan_of_an_older_version_is_read() -> None:
    body = json.loads(encode(WHOLE))
    for name in ("max_skew", "offer"):
        del body[name]
    for item in body["items"]:
        del item["steps"]
        item.pop("review", None)
    del body["gaps"][0]["domains"]
    old = decode(json.dumps(body).encode(), RestorePlan, "plan.json")
    assert (old.max_skew, old.offer, old.items[0].steps, old.items[0].review) == (None, None, (), None)


def test_json_tells_skew_graph_gaps_and_review() -> None:
    told = restore_plan(WHOLE)
    assert told["skew"] == {
        "seconds": 3600.0,
        "max_s": 7200.0,
        "oldest": {"source": "cluster/fake/x", "instant": "2025-05-28T09:00:00Z"},
        "newest": {"source": "appdata/fake/x", "instant": "2025-05-28T10:00:00Z"},
        "nearer": {"instant": "2025-05-28T09:00:00Z", "seconds": 0.0},
    }
    prediction, steps = told["prediction"], told["steps"]
    assert isinstance(prediction, dict)
    assert isinstance(steps, list)
    assert prediction["gains"][0]["step"] == key("appdata.import")
    assert {step["step"] for step in steps if step["critical"]} == set(prediction["critical_path"])
    gap, first = json.loads(json.dumps(told["gaps"]))[0], json.loads(json.dumps(told["items"]))[0]
    assert gap["domains"][0] == {"domain": "logical", "before": "2025-05-28T09:00:00Z", "after": "2025-05-28T10:00:00Z"}
    assert (first["behind_s"], first["review"]["lost"]) == (3600.0, list(REVIEW.lost))


def test_the_table_says_the_same_in_words() -> None:
    text = plain(plan_sheet(WHOLE, T0 + HOUR))
    assert "skew 1 h, of 2 h allowed" in text
    assert "at 2025-05-28T09:00:00Z they would be all at one instant" in text
    assert "critical path: appdata create > appdata import > appdata serve > cluster rewire" in text
    assert "appdata import could save at most 1 min 36 s" in text
    assert "CANNOT be restored: nothing is there" in text
    assert "if only region is lost: nothing" in text
    assert "leaves out: persistentvolumeclaims app/data" in text
    assert "... and 5 more (-o wide lists them)" in text


def test_wide_lists_every_step_and_every_change() -> None:
    text = plain(plan_sheet(WHOLE, T0 + HOUR, wide=True))
    assert f"* {key('appdata.import')} [write] 3 min 20 s (1 min 40 s to 6 min 40 s, 3 runs)" in text
    assert "configmaps app/c8" in text


def test_nothing_measured_is_said() -> None:
    bare = replace(APPDATA, steps=tuple(replace(step, estimate=None) for step in APPDATA.steps))
    assert "how long it takes is not known" in plain(plan_sheet(replace(PLAN, items=(bare,)), T0))


def test_declared_time_counts_among_the_changes() -> None:
    text = plain(plan_sheet(replace(WHOLE, declared=(DeclaredStep("new cluster", 2 * HOUR),)), T0))
    assert "new cluster could save at most 2 h: declared, not measured" in text


def test_status_shows_what_is_done_and_what_is_to_come() -> None:
    found = standing(PLAN, record({"appdata.create": 5.0}), T0 + timedelta(seconds=25))
    text = plain(begun_sheet([found], steps=True))
    assert "1 of 6 steps" in text
    assert "about 3 min" in text
    assert f"{key('cluster.rewire')}" in text
    assert standing_item(found)["steps_done"] == 1


def test_a_restore_that_died_says_how_to_go_on() -> None:
    text = plain(begun_sheet([standing(PLAN, record({}), T0 + HOUR)], steps=False))
    assert "go on with: dr restore resume plan-1" in text


def test_a_watcher_tells_what_is_left_once_it_knows_the_plan() -> None:
    seen: list[float | None] = []
    watcher = Watcher(lambda _event, left: seen.append(left))
    event = Progress("plan-1", key("appdata.create"), "done", elapsed=timedelta(seconds=5))
    watcher(event)
    watcher.tracker = Tracker(PLAN, {})
    watcher(event)
    assert seen == [None, 202]
