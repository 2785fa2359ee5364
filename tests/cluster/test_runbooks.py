"""Runbooks are executed: every block of every page in the lab, disaster first; what a page calls manual is done as a person would.

One lab for all, in the order of growing loss, because a page may only need what the page before it left standing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from dr.app.runbooks import begun
from dr.model.runbooks import Doing, RunbookRun
from dr.model.timeline import format_instant
from dr.runbook.pages import Block, library, page
from dr.runbook.stepping import Answer, Stepper, bash, unset
from lab import lifecycle
from lab.build import binary
from lab.energent.manifests import DEPLOYMENT, NAMESPACE
from lab.kube import Kube
from lab.state import Lab
from tests.lab.command import Dr

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
APPLICATION = {
    "NAMESPACE": NAMESPACE,
    "CONFIG_MAP": "energent-platform-config",
    "KEY": "FIRESTORE_DATABASE",
    "WORKLOAD": DEPLOYMENT,
}
CONTROL = "gs://energent-dr-control"
CLUSTER = "energent-production"
Hand = Callable[[dict[str, str]], None]
"""What a person does at a manual step; may change the environment of what follows."""


def nothing(_environment: dict[str, str]) -> None:
    """A manual step that the lab needs nothing for."""


@dataclass
class Bench:
    """The lab, how `dr` is called in it, and what was executed."""

    lab: Lab
    dr: Dr
    home: Path
    walked: dict[str, RunbookRun] = field(default_factory=dict)
    cluster: Path = field(default_factory=Path)
    """The lab whose cluster is alive."""

    @property
    def environment(self) -> dict[str, str]:
        """What an engineer's shell has."""
        kubectl = str(binary("kubectl").parent)
        path = os.pathsep.join((str(Path(sys.executable).parent), kubectl, os.environ["PATH"]))
        base = {name: value for name, value in self.dr.environment.items() if not name.startswith("GOOGLE")}
        return {**base, "PATH": path, "KUBECONFIG": str(self.cluster / "kubeconfigs" / "admin"), "COLUMNS": "150"}

    @property
    def laptop(self) -> dict[str, str]:
        """Of somebody who has `dr` and credentials for the buckets, nothing else: no settings, no strategy, no cache."""
        mine = ("DR_CONFIG", "DR_STRATEGY", "DR_CACHE_DIR")
        base = {name: value for name, value in self.environment.items() if name not in mine}
        return base | {
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.lab.key("restore")),
            "DR_ENDPOINTS_STORAGE": self.lab.endpoints["storage"],
            "DR_CA_FILE": str(self.lab.ca),
            "HOME": str(self.home),
        }

    def strike(self, name: str, *more: str) -> str:
        answer = self.dr.module("lab", "disaster", name, "--dir", str(self.lab.directory), *more)
        assert answer.code == 0, answer.err
        return str(json.loads(answer.out)["at"])

    def walk(self, name: str, environment: Mapping[str, str], hands: Mapping[str, Hand] | None = None) -> RunbookRun:
        """Every block of a page, in order; fails with the output of the one that ended otherwise than expected."""
        found, output = page(name), self.home / f"{name}.log"
        whole = dict(environment)
        assert unset(found, whole) == (), "a variable of the page that nobody gave"

        with output.open("ab") as log:

            def ask(_index: int, block: Block) -> Answer:
                if block.manual:
                    changed = dict(stepper.environment)
                    (hands or {})[block.name](changed)
                    stepper.environment = changed
                return Answer("do", asked=block.manual)

            def shell(command: str, env: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
                return bash(command, env, log)

            stepper = Stepper(found, begun(found, now(), whole), whole, ask, now, shell=shell)
            run = stepper.walk()
            log.writelines(f"step {one.index}: {one.ended - one.started}\n".encode() for one in run.steps)
        said = output.read_text()[-3000:]
        assert not run.failed, (name, [(step.index, step.title, step.code) for step in run.failed], said)
        assert len(run.steps) == len(found.blocks)
        assert all(step.doing is not Doing.SKIPPED for step in run.steps)
        self.walked[name] = run
        return run

    # --- what a person does

    def point_strategy(self, environment: dict[str, str]) -> None:
        """The source's database becomes the restored one, as the page says."""
        file = self.dr.work / "strategy.yaml"
        table = yaml.safe_load(file.read_text())
        (source,) = next(row["sources"] for row in table["objectives"] if row["component"] == "appdata")
        source["options"]["database"] = environment["NEW"]
        file.write_text(yaml.safe_dump(table, sort_keys=False))

    def new_cluster(self, name: str) -> Hand:
        def make(environment: dict[str, str]) -> None:
            wish = lifecycle.Wish(self.home / name, "cluster", options={"beside": str(self.lab.directory)})
            lifecycle.up(wish)
            self.cluster = wish.directory
            admin = str(wish.directory / "kubeconfigs" / "admin")
            environment["KUBECONFIG"] = admin
            if "DR_CONFIG" in environment:
                environment["DR_KUBERNETES_RESTORE"] = environment["DR_KUBERNETES_CAPTURE"] = admin

        return make

    def available(self) -> int:
        """Replicas of the application in the living cluster."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DEPLOYMENT}"
        found = Kube(self.cluster / "kubeconfigs" / "admin").find(path) or {}
        status = found.get("status", {})
        return int(status.get("availableReplicas", 0)) if isinstance(status, Mapping) else 0


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("runbooks")
    directory = home / "lab"
    try:
        lab = lifecycle.up(lifecycle.Wish(directory, options={"snapshot-granularity": "1"}))
        bench = Bench(lab, Dr(directory, home), home, cluster=directory)
        fill(bench)
        bench.dr.fine("init", "--repositories")
        bench.dr.fine("backup")
        yield bench
    finally:
        for name in ("third", "second", "lab"):
            lifecycle.down(home / name)


def fill(bench: Bench) -> None:
    size = ("--tenants", "3", "--documents", "60")
    filled = bench.dr.module("lab.energent", "fill", "--lab", str(bench.lab.directory), *size)
    assert filled.code == 0, filled.err


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each page is walked in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("start", {}),
        ("check", {}),
        ("alerts", {}),
        ("errors", {}),
        ("freeze-first", {"WHY": "a test", "COMPONENT": "appdata"}),
        ("backup-failed", {"COMPONENT": "cluster"}),
        ("drills", {"SCENARIO": "cluster"}),
    ],
)
def test_pages_that_lose_nothing(bench: Bench, name: str, variables: dict[str, str]) -> None:
    hands = {"": nothing, "velero-log": nothing}
    bench.walk(name, {**bench.environment, **variables}, hands)


def test_retention_and_holds(bench: Bench) -> None:
    point = bench.dr.fine("points", "list", "--component", "cluster", "-o", "name").out.split()[0]
    bench.walk("retention-and-holds", {**bench.environment, "POINT": point, "WHY": "a test"})


def test_the_command_itself_steps_through_a_page_and_keeps_its_record(bench: Bench, folder: Path) -> None:
    walked = bench.dr("runbook", "run", "start", "--yes", "--record", str(folder / "record.json"))
    assert walked.code == 0, walked.err
    assert "1 of 1 steps, a person was needed 0 times" in walked.out
    assert f"{CONTROL}/runbooks/start-" in walked.out


def test_dr_gone_is_answered_from_a_laptop(bench: Bench) -> None:
    """The laptop may capture too, and reaches the living cluster: all four rows are captured from there."""
    written = bench.dr.module(
        "lab.energent", "write", "--lab", str(bench.lab.directory), "--out", str(bench.home / "audit.jsonl"),
        "--only", "audit", "--seconds", "3",
    )  # fmt: skip
    assert written.code == 0, written.err
    laptop = {**bench.laptop, "GOOGLE_APPLICATION_CREDENTIALS": str(bench.lab.key("capture")), "CONTROL": CONTROL}
    bench.walk("dr-gone", laptop, {"redeploy": nothing})


def test_config(bench: Bench) -> None:
    """Captured with the other rows, broken, put back over the living cluster."""
    points = bench.dr.fine("points", "list", "--component", "config", "--fresh", "-o", "json").items
    good = max(str(point["as_of"]) for point in points)
    bench.strike("config-broken")
    bench.walk("config", {**bench.environment, **APPLICATION, "T": good, "CLUSTER": CLUSTER})
    assert bench.available() == 1


def test_audit(bench: Bench) -> None:
    """The log survives what fed it: subscription and topic are gone afterwards, and nobody makes them anew in the lab."""
    (log,) = bench.dr.fine("audit", "verify", "-o", "json").items
    assert log["entries"] > 0
    bench.strike("audit-store-lost")
    bench.walk("audit", {**bench.environment, "T": str(log["complete_until"])}, {"pipeline": nothing})
    assert list((bench.home / "cache" / "restored").rglob("*.jsonl.zst")), "the archive"


def test_appdata_logical(bench: Bench) -> None:
    struck = bench.strike("bad-deploy")
    bench.dr.fine("freeze", "--reason", "a bad deployment")
    run = bench.walk(
        "appdata-logical",
        {**bench.environment, **APPLICATION, "T": struck},
        {"strategy": bench.point_strategy, "back-out": nothing},
    )
    assert run.interventions == 2
    assert bench.available() == 1


def test_appdata_source(bench: Bench) -> None:
    lost = current_database(bench)
    struck = bench.strike("database-deleted", "--database", lost)
    run = bench.walk(
        "appdata-source",
        {**bench.environment, **APPLICATION, "T": struck, "DOMAIN": "source"},
        {"strategy": bench.point_strategy},
    )
    assert run.interventions == 1
    assert current_database(bench) != lost


def test_cluster_source(bench: Bench) -> None:
    bench.dr.fine("backup", "cluster")
    struck = bench.strike("namespace-deleted")
    assert bench.available() == 0
    bench.walk("cluster-source", {**bench.environment, **APPLICATION, "T": struck}, {"over": nothing})
    assert bench.available() == 1


def test_cluster_lost(bench: Bench) -> None:
    struck = bench.strike("cluster-lost")
    bench.walk(
        "cluster-lost",
        {**bench.environment, **APPLICATION, "T": struck, "CREATION": "25m"},
        {"new-cluster": bench.new_cluster("second")},
    )
    assert bench.available() == 1
    said = (bench.home / "cluster-lost.log").read_text()
    assert "declared, not measured: cluster creation 25 min; recovery time with it: 25 min" in said


def test_everything_gone_is_answered_from_a_laptop_with_only_the_buckets(bench: Bench, folder: Path) -> None:
    """The second cluster is destroyed too, and the database; the laptop has credentials, an empty folder and no cache."""
    lost = current_database(bench)
    bench.strike("database-deleted", "--database", lost)
    lifecycle.down(bench.home / "second")
    variables = {**APPLICATION, "CONTROL": CONTROL, "T": format_instant(now()), "CREATION": "25m"}
    run = bench.walk(
        "everything-gone",
        {**bench.laptop, **variables},
        {"install": nothing, "new-cluster": bench.new_cluster("third")},
    )
    assert bench.available() == 1
    assert sorted(path.name for path in folder.iterdir()) == ["dr.yaml", "strategy.yaml"]
    assert run.interventions == 2, "dr installed and a cluster made: all else needs nobody"
    assert {name.split(".")[0] for name in restored(bench)} == {"cluster", "appdata", "config", "audit"}
    assert "cluster creation 25 min" in (bench.home / "everything-gone.log").read_text()


def test_no_page_was_left_out(bench: Bench, request: pytest.FixtureRequest) -> None:
    ran = {getattr(item, "originalname", "") for item in request.session.items if item.path == Path(__file__)}
    if not {name for name in globals() if name.startswith("test_")} <= ran:
        pytest.skip("only some of the pages were asked for")
    assert set(bench.walked) == set(library())


def current_database(bench: Bench) -> str:
    table = yaml.safe_load((bench.dr.work / "strategy.yaml").read_text())
    (source,) = next(row["sources"] for row in table["objectives"] if row["component"] == "appdata")
    return str(source["options"]["database"])


def restored(bench: Bench) -> set[str]:
    """Items of the newest restore that ended well, by their steps' names."""
    items = bench.dr.fine("restore", "status", "-o", "json").items
    newest = max(items, key=lambda item: str(item["since"]))
    assert newest["state"] == "committed"
    return {step["step"] for step in newest["steps"]}
