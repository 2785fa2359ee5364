"""A plan of all four rows: one instant, its skew, its graph and its review; refused when the world moved; killed and resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dr.model.timeline import format_instant, parse_instant
from lab.energent.manifests import NAMESPACE
from lab.kube import Kube, wait_for
from lab.state import Lab
from tests.lab.command import Dr
from tests.lab.killed_plans import open_campaign, run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
CLUSTER = "energent-production"
ROWS = {"cluster", "appdata", "config", "audit"}
SEED = int(os.environ.get("DR_SEED", "6"))
TENTH = 0.1


@pytest.fixture(scope="module")
def dr(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Dr:
    """A filled lab with a point of each row."""
    work = tmp_path_factory.mktemp("restore-plan")
    made = Dr(lab.directory, work)
    wiped = made.module("lab.energent", "wipe", "--lab", str(lab.directory), "--witness", str(work / "wiped.jsonl"))
    assert wiped.code == 0, wiped.err
    filled = made.module("lab.energent", "fill", "--lab", str(lab.directory), "--tenants", "2", "--documents", "40")
    assert filled.code == 0, filled.err
    made.fine("init", "--repositories")
    made.fine("backup")
    return made


def now() -> str:
    return format_instant(datetime.now(UTC))


def test_all_rows_are_planned_to_one_instant_and_the_skew_is_told(dr: Dr) -> None:
    asked = ("restore", "plan", "--point-in-time", now(), "--over", CLUSTER)
    plan = json.loads(dr.fine(*asked, "-o", "json").out)
    assert {item["source"].partition("/")[0] for item in plan["items"]} == ROWS
    instants = {item["source"]: parse_instant(item["instant"]) for item in plan["items"]}
    oldest, newest = min(instants.values()), max(instants.values())
    assert plan["skew"]["seconds"] == (newest - oldest).total_seconds() > 0, "a point of the cluster is older than now"
    assert plan["skew"]["oldest"]["source"].startswith("cluster/")
    is_a_graph(plan["steps"])
    refused = dr(*asked, "--max-skew", "1ms")
    refused.refused(2, "apart; --max-skew allows")
    assert "cluster/" in refused.out, "what is refused is shown too"


def is_a_graph(steps: list[dict[str, Any]]) -> None:
    """The configuration comes after the whole of the cluster, whose state is older."""
    needs = {step["step"]: step["needs"] for step in steps}
    assert all(need in needs for found in needs.values() for need in found)
    last = [key for key in needs if key.startswith("cluster.")][-1]
    (read,) = [key for key in needs if key.startswith("config.") and key.endswith(".read")]
    assert comes_after(needs, read, last)


def comes_after(needs: dict[str, list[str]], later: str, earlier: str) -> bool:
    return any(need == earlier or comes_after(needs, need, earlier) for need in needs[later])


def test_a_gap_offers_the_nearest_of_each_loss(dr: Dr) -> None:
    answer = dr("restore", "plan", "--point-in-time", "2020-01-01T00:00:00Z", "--component", "appdata", "-o", "json")
    answer.refused(2, "cannot be restored", "the nearest that can be restored")
    (gap,) = json.loads(answer.out)["gaps"]
    found = {one["domain"]: one for one in gap["domains"]}
    assert set(found) == {"logical", "source", "cluster", "region", "project"}
    assert found["source"]["before"] is None
    assert found["source"]["after"] is not None


def test_a_plan_is_refused_when_what_it_was_reviewed_against_has_moved(dr: Dr, kube: Callable[[str], Kube]) -> None:
    """Something is made that the review said would be changed back: the plan says what, and nothing is done."""
    file, admin = dr.work / "over.json", kube("admin")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "moved", "namespace": NAMESPACE}}
    admin.apply({**body, "data": {"level": "info"}})
    try:
        dr.fine("backup", "config")
        asked = ("--point-in-time", now(), "--component", "config", "--over", CLUSTER)
        admin.apply({**body, "data": {"level": "debug"}})
        shown = dr.fine("restore", "plan", *asked, "--out", str(file), "-o", "wide")
        assert f"changes: {NAMESPACE}/configmaps/moved: data.level" in shown.out
        admin.apply({**body, "data": {"level": "trace"}})
        begun = dr.fine("restore", "status", "-o", "name").out
        dr("restore", "apply", str(file)).refused(1, "the world moved", f"{NAMESPACE}/configmaps/moved changed")
        assert dr.fine("restore", "status", "-o", "name").out == begun, "nothing was begun"
    finally:
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/moved"
        admin.delete(path)
        wait_for("the end of the ConfigMap", lambda: admin.find(path) is None, 30)


def test_a_plan_of_all_four_rows_survives_a_kill_at_its_step_boundaries(dr: Dr, tmp_path: Path) -> None:
    """A seeded tenth of them; `make soak` runs the whole campaign."""
    campaign = open_campaign(dr)
    out = tmp_path / "kills.jsonl"
    count = run(campaign, TENTH, SEED, out)
    done = {tuple(json.loads(line)) for line in out.read_text().splitlines()}
    assert len(done) == count >= 5
