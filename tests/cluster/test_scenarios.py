"""Every shipped scenario: its disaster strikes the lab, `dr drill run` measures its rows, and nothing of the drill is left.

One lab for all, in the order of growing loss. What is written before `good` is the witness's; disasters after it change the
living sources, so that later drills ask for that instant.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dr.model.timeline import format_instant, parse_instant
from dr.scenarios import load_scenario, shipped
from lab import lifecycle
from lab.kube import Kube
from lab.state import REGION, Lab
from lab.strikes import kms_region, storage_client
from tests.lab.command import Dr

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
CONTROL = "gs://energent-dr-control"
SEED = os.environ.get("DR_SEED", "6")
WHOLE = os.environ.get("DR_SCENARIOS") == "all"
"""`make scenarios`; otherwise two of the disasters, by lot."""
CHEAP = (
    "dr-lost",
    "operator-error",
    "accidental-delete",
    "configuration-broken",
    "ransomware",
    "audit-store-lost",
    "database-lost",
)
CHOSEN = set(random.Random(SEED).sample(CHEAP, 2))
KEPT = {"met", "0 lost, not guaranteed"}


def scenario(name: str) -> pytest.MarkDecorator:
    """Runs in the whole campaign, and where the lot fell on it. Losing a cluster takes another one: only in the whole."""
    return pytest.mark.skipif(not WHOLE and name not in CHOSEN, reason="make scenarios runs it")


@dataclass
class Bench:
    """The lab, how `dr` is called in it, and the last instant at which all was well."""

    lab: Lab
    dr: Dr
    home: Path
    good: str = ""
    cluster: Path = field(default_factory=Path)
    """The lab whose cluster is alive."""
    drilled: set[str] = field(default_factory=set)

    @property
    def witness(self) -> Path:
        return self.home / "witness.jsonl"

    def strike(self, name: str, *more: str) -> dict[str, Any]:
        answer = self.dr.module("lab", "disaster", name, "--dir", str(self.lab.directory), *more)
        assert answer.code == 0, answer.err
        found: dict[str, Any] = json.loads(answer.out)
        return found

    def drill(self, name: str, *more: str, dr: Dr | None = None) -> dict[str, Any]:
        """The whole report; every row of the scenario kept what it promises, and nothing is left."""
        answer = (dr or self.dr)("drill", "run", name, *more, "-o", "json")
        assert answer.code == 0, (answer.code, answer.err[-2000:], _told(answer.out))
        report: dict[str, Any] = json.loads(answer.out)
        measured(report, name)
        assert self.left() == []
        self.drilled.add(name)
        return report

    def judged(self, name: str, struck: str, *more: str, dr: Dr | None = None) -> dict[str, Any]:
        """By the writer's record, for the disaster that struck then, restored to the last good instant."""
        when = ("--point-in-time", self.good, "--disaster-at", struck, "--witness", str(self.witness))
        return self.drill(name, *when, *more, dr=dr)

    def left(self) -> list[str]:
        """Whatever bears a drill's name: namespaces, databases, files, copies in Velero's bucket."""
        kube = Kube(self.cluster / "kubeconfigs" / "admin")
        spaces = kube.get("/api/v1/namespaces")["items"]
        assert isinstance(spaces, list)
        found = [entry["metadata"]["name"] for entry in spaces if entry["metadata"]["name"].startswith("drill-")]
        found += [name for name in self._databases() if name.startswith("drill-")]
        archives = (self.home / "cache" / "restored").glob("drill-*/**/*")
        found += [str(path) for path in archives if path.is_file() and ".dr-tmp" not in path.parts]
        return found + [
            blob.name for blob in storage_client(self.lab).list_blobs("energent-velero", prefix="restores/")
        ]

    def _databases(self) -> Iterator[str]:
        from google.cloud.firestore_admin_v1 import FirestoreAdminClient
        from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport

        from lab.energent.store import Target, channel

        lab = self.lab
        way = channel(Target(lab.endpoints["firestore"], lab.project, "", lab.key("operator"), lab.ca))
        client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=way))
        found = client.list_databases(parent=f"projects/{lab.project}").databases
        return (database.name.rpartition("/")[2] for database in found)

    def new_cluster(self, name: str) -> Dr:
        """Empty but for Velero; `dr` as it is called there."""
        wish = lifecycle.Wish(self.home / name, "cluster", options={"beside": str(self.lab.directory)})
        lifecycle.up(wish)
        self.cluster = wish.directory
        admin = str(wish.directory / "kubeconfigs" / "admin")
        there = self.dr.with_(DR_KUBERNETES_RESTORE=admin, DR_KUBERNETES_CAPTURE=admin, KUBECONFIG=admin)
        there.fine("velero", "bootstrap", "--auto-approve")
        return there


def _told(out: str) -> Sequence[object]:
    """What speaks against the rows."""
    try:
        report = json.loads(out)
    except ValueError:
        return [out[-1500:]]
    rows = [(row["component"], row["domain"], row["verdict"], row["findings"]) for row in report["items"]]
    return [row for row in rows if row[2] != "not drilled"] + [report["drill"]["teardown"]]


def measured(report: Mapping[str, Any], name: str) -> None:
    """Every row of the scenario, with its clocks, its instants and its worst RPO; no other row."""
    wanted = {(key.component, str(key.domain)) for key in load_scenario(name).rows}
    rows = {(row["component"], row["domain"]): row for row in report["items"] if row["verdict"] != "not drilled"}
    assert set(rows) == wanted
    for row in rows.values():
        assert row["verdict"] in KEPT, row["findings"]
        clocks = row["rto"]["clocks"]
        whole = clocks["decide_s"] + clocks["restore_s"] + clocks["verify_s"]
        assert whole == pytest.approx(row["rto"]["measured_s"])
        assert min(clocks.values()) >= 0
        assert row["requested"]
        assert row["behind_s"] >= 0
        assert row["worst_rpo"]["seconds"] >= 0
        assert row["point"]["name"]
    assert all(check["passed"] for check in report["drill"]["teardown"])
    assert report["drill"]["by"]


def now() -> str:
    return format_instant(datetime.now(UTC))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("scenarios")
    directory = home / "lab"
    try:
        lab = lifecycle.up(lifecycle.Wish(directory, options={"snapshot-granularity": "1"}))
        bench = Bench(lab, Dr(directory, home), home, cluster=directory)
        prepare(bench)
        yield bench
        kms_region(lab, REGION, "up")
    finally:
        for name in ("third", "second", "lab"):
            lifecycle.down(home / name)


def prepare(bench: Bench) -> None:
    """The world, a little writing of all kinds, and a point of each row behind it."""
    where = ("--lab", str(bench.lab.directory))
    size = ("--tenants", "3", "--documents", "60", "--witness", str(bench.witness))
    for args in (
        ("fill", *where, *size),
        ("write", *where, "--out", str(bench.witness), "--only", "all", "--seconds", "3"),
    ):
        done = bench.dr.module("lab.energent", *args)
        assert done.code == 0, done.err
    bench.dr.fine("init", "--repositories")
    bench.dr.fine("backup")
    bench.good = now()


# --- drills that need no disaster


@pytest.mark.parametrize("row", ["appdata", "cluster", "config", "audit"] if WHOLE else ["audit", "config"])
def test_the_small_drill_of_each_row_draws_an_old_instant_and_records_its_seed(bench: Bench, row: str) -> None:
    report = bench.drill(f"nightly-{row}")
    (drawn,) = report["drill"]["drawn"]
    (mine,) = [one for one in report["items"] if one["component"] == row and one["verdict"] != "not drilled"]
    assert drawn["seed"] == report["drill"]["id"]
    assert mine["requested"] == drawn["requested"]
    first, requested, last = (parse_instant(drawn[name]) for name in ("first", "requested", "last"))
    assert first <= requested <= last
    assert mine["rpo"]["bound_s"] == pytest.approx(mine["behind_s"])


def test_what_was_drilled_last_night_is_not_due_tonight_and_a_skip_is_on_record(bench: Bench) -> None:
    before = len(bench.dr.fine("drill", "list", "-o", "json").items)
    assert "is not due" in bench.dr.fine("drill", "run", "nightly-audit", "--if-due").err
    assert len(bench.dr.fine("drill", "list", "-o", "json").items) == before
    bench.dr.fine("drill", "skip", "quarterly", "--reason", "the database moves this week")
    assert "skipped" in bench.dr.fine("drill", "run", "quarterly", "--if-due").err
    last = bench.dr.fine("drill", "list", "-o", "json").items[-1]
    assert (last["ended"], last["reason"]) == ("skipped", "the database moves this week")
    assert last["by"]


# --- each disaster and its drill, in the order of growing loss


@scenario("dr-lost")
def test_dr_itself_lost(bench: Bench, tmp_path: Path) -> None:
    """A machine that has the buckets and credentials for them, nothing else."""
    struck = bench.strike("dr-lost", "--cache", str(bench.home / "cache"))
    laptop = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(bench.lab.key("restore")),
        "DR_ENDPOINTS_STORAGE": bench.lab.endpoints["storage"],
        "DR_CA_FILE": str(bench.lab.ca),
    }
    settings, strategy = tmp_path / "dr.yaml", tmp_path / "strategy.yaml"
    there = bench.dr.with_(**laptop, DR_CACHE_DIR=str(tmp_path / "cache"), DR_CONFIG="", DR_STRATEGY="")
    done = there("init", "--from", CONTROL, "--directory", str(tmp_path))
    assert done.code == 0, done.err
    kubeconfig = str(bench.lab.kubeconfigs["restore"])
    fresh = there.with_(DR_CONFIG=str(settings), DR_STRATEGY=str(strategy), DR_KUBERNETES_RESTORE=kubeconfig)
    bench.judged("dr-lost", struck["at"], dr=fresh)


@scenario("operator-error")
def test_operators_error(bench: Bench) -> None:
    """Everything that can be deleted is; what is locked refuses, and is restored from."""
    slot = bench.dr.fine("points", "list", "--component", "appdata", "-o", "name").out.split()[0]
    bench.dr.fine("points", "hold", slot, "--reason", "the auditor asked")
    before = len(bench.dr.fine("points", "list", "--fresh", "-o", "json").items)
    struck = bench.strike("operator-error")
    assert sum(struck["deleted"].values()) > 0
    assert sum(struck["refused"].values()) > 0
    assert len(bench.dr.fine("points", "list", "--fresh", "-o", "json").items) == before
    bench.judged("operator-error", struck["at"])


@scenario("accidental-delete")
def test_accidental_delete(bench: Bench) -> None:
    struck = bench.strike("accidental-delete")
    assert struck["deleted"] > 1
    report = bench.judged("accidental-delete", struck["at"])
    (row,) = [one for one in report["items"] if (one["component"], one["domain"]) == ("appdata", "logical")]
    assert row["rpo"]["writes_lost"] == 0
    assert any(check["name"].startswith("the platform's own document") for check in row["checks"])


@scenario("configuration-broken")
def test_configuration_broken(bench: Bench) -> None:
    bench.judged("configuration-broken", bench.strike("configuration-broken")["at"])


@scenario("ransomware")
def test_ransomware(bench: Bench) -> None:
    """Two waves, a backup after each: both points hold what nobody can read, and the drill goes back behind them."""
    for wave in ("1", "2"):
        assert bench.strike("ransomware", "--wave", wave)["encrypted"] > 0
        bench.dr.fine("backup", "appdata")
    report = bench.drill("ransomware", "--witness", str(bench.witness))
    (row,) = [one for one in report["items"] if one["verdict"] != "not drilled"]
    bad = [one for one in row["tried"] if not one["clean"]]
    assert len(bad) == 2
    assert all("every job can be read: firestore:" in one["why"] for one in bad)
    assert row["instant"] <= bench.good < min(one["instant"] for one in bad)
    assert row["rto"]["clocks"]["decide_s"] > row["rto"]["clocks"]["restore_s"] / 10, "the bad copies took their time"


@scenario("audit-store-lost")
def test_audit_store_lost(bench: Bench) -> None:
    bench.judged("audit-store-lost", bench.strike("audit-store-lost")["at"])


@scenario("cluster-lost")
def test_cluster_lost(bench: Bench) -> None:
    struck = bench.strike("cluster-lost")
    there = bench.new_cluster("second")
    report = bench.judged("cluster-lost", struck["at"], "--declare", "cluster creation=2m", dr=there)
    for row in report["items"]:
        if row["verdict"] != "not drilled":
            assert row["rto"]["clocks"]["restore_s"] > 120, "what was declared is restoring"


@scenario("database-lost")
def test_database_lost(bench: Bench) -> None:
    bench.judged("database-lost", bench.strike("database-lost")["at"])


@scenario("region-lost")
def test_region_lost(bench: Bench) -> None:
    """The second cluster is in that region too; what is sealed opens by the key of the other one."""
    lifecycle.down(bench.home / "second")
    struck = bench.strike("region-lost")
    there = bench.new_cluster("third")
    bench.judged("region-lost", struck["at"], "--declare", "cluster creation=2m", dr=there)


@pytest.mark.skipif(not WHOLE, reason="make scenarios runs it")
def test_no_scenario_was_left_out(bench: Bench, request: pytest.FixtureRequest) -> None:
    ran = {getattr(item, "originalname", "") for item in request.session.items if item.path == Path(__file__)}
    if not {name for name in globals() if name.startswith("test_")} <= ran:
        pytest.skip("only some of the scenarios were asked for")
    older = {"appdata", "audit", "cluster", "config", "quarterly"}
    assert bench.drilled == set(shipped()) - older
    assert os.path.exists(bench.witness)
