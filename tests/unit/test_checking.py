"""`dr check`: what fails, what only warns, what to do about it, and that no look can hold it up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dr.app.deployed import judge_cron_job, judge_deployment, judge_nodes
from dr.components.cluster.access import ClusterOptions
from dr.components.cluster.checking import check_all, check_ready
from dr.errors import NOT_AUTHORISED, NOT_FOUND, UNREACHABLE, DrError, ErrorKind
from dr.model.findings import Finding, Level, good
from dr.model.strategy import FailureDomain, Place
from dr.plan.advice import ADVICE, topic_of
from dr.plan.rows import plan_table
from dr.ports import PlaceFacts
from dr.report.findings import finding_item, findings_sheet
from dr.report.sheet import plain
from dr.run.checking import Look, check_place, check_rights, judge_place, judge_skew, judge_table, look_at
from dr.runbook.pages import page
from dr.stores.memory import MemoryStore
from dr.strategy import parse_strategy
from tests.unit.velero_world import START, spec, world

NOW = datetime(2025, 5, 28, 10, tzinfo=UTC)
DECLARED = Place("energent-backup", "us-east1")


def levels(findings: object) -> dict[str, Level]:
    assert isinstance(findings, Iterator | tuple | list)
    return {one.name: one.level for one in findings}


# --- looking ---------------------------------------------------------------------------------------------------------


def test_i10_a_look_that_hangs_is_a_failed_finding_and_the_others_are_told() -> None:
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        never.wait(30)
        yield good("a", "slow", True, "", "velero")

    looks = [
        Look("a", "slow", "velero", hang),
        Look("b", "quick", "velero", lambda: [good("b", "quick", True, "", "velero")]),
    ]
    found = look_at(looks, patience_s=0.2)
    never.set()
    assert [(one.name, one.level) for one in found] == [("slow", Level.FAIL), ("quick", Level.OK)]
    assert "did not answer within" in found[0].detail


@pytest.mark.parametrize(
    ("kind", "topic"), [(NOT_AUTHORISED, "permissions"), (UNREACHABLE, "late"), (NOT_FOUND, "velero")]
)
def test_i10_a_failure_to_look_is_a_failed_finding_that_says_what_to_do(kind: ErrorKind, topic: str) -> None:
    def refuse() -> Iterator[Finding]:
        raise DrError(kind, "no")
        yield

    (found,) = look_at([Look("a", "b", "velero", refuse)])
    assert (found.level, found.detail, found.topic) == (Level.FAIL, "no", topic)


# --- places ----------------------------------------------------------------------------------------------------------


class Bucket(MemoryStore):
    """A bucket whose settings and rights a test chooses."""

    facts = PlaceFacts("US-EAST1", object_retention=True)
    held: frozenset[str] = frozenset()
    behind = timedelta(0)

    @property
    def url(self) -> str:
        return "gs://bucket"

    def describe(self) -> PlaceFacts:
        return self.facts

    def missing_permissions(self, wanted: object) -> tuple[str, ...]:
        assert isinstance(wanted, tuple)
        return tuple(name for name in wanted if name not in self.held)

    def server_time(self) -> datetime:
        return NOW - self.behind


def place(bucket: Bucket, declared: Place | None = DECLARED) -> dict[str, Level]:
    bucket.put("format.json", b'{"format":1,"kind":"repository","role":"vault"}\n')
    return levels(check_place("g", "appdata", bucket, declared, lambda: NOW))


def test_each_missing_right_is_named_and_one_too_many_is_a_failure() -> None:
    bucket = Bucket()
    bucket.held = frozenset({"storage.buckets.get", "storage.objects.delete"})
    rights, deletion = check_rights("g", "appdata", "capture", bucket)
    assert rights.level is Level.FAIL
    assert "storage.objects.create, storage.objects.update" in rights.detail
    assert "storage.buckets.get" not in rights.detail
    assert deletion.level is Level.FAIL
    (only,) = check_rights("g", "appdata", "prune", bucket)
    assert only.level is Level.FAIL, "prune may delete, and lacks the rest"


def test_a_vault_that_cannot_lock_or_stands_elsewhere_fails() -> None:
    assert set(place(Bucket()).values()) == {Level.OK}
    loose, elsewhere, undeclared = Bucket(), Bucket(), Bucket()
    loose.facts = replace(Bucket.facts, object_retention=False)
    assert place(loose)["locks"] is Level.FAIL
    elsewhere.facts = replace(Bucket.facts, location="US-CENTRAL1")
    assert place(elsewhere)["location"] is Level.FAIL
    assert place(undeclared, Place())["location"] is Level.WARN
    assert "location" not in {one.name for one in judge_place("control", Bucket.facts, None)}


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (30, Level.OK), (31, Level.WARN), (300, Level.WARN), (301, Level.FAIL)]
)
def test_a_clock_warns_above_half_a_minute_and_fails_above_five(seconds: int, level: Level) -> None:
    assert judge_skew("g", timedelta(seconds=seconds)).level is level


def test_a_slow_clock_of_the_store_is_seen() -> None:
    bucket = Bucket()
    bucket.behind = timedelta(minutes=6)
    assert place(bucket)["clock"] is Level.FAIL


def test_a_directory_as_a_vault_warns_that_its_locks_bind_nobody() -> None:
    store = MemoryStore()
    store.put("format.json", b'{"format":1,"kind":"repository","role":"vault"}\n')
    assert levels(check_place("g", "appdata", store, DECLARED, lambda: NOW))["locks"] is Level.WARN


# --- the table -------------------------------------------------------------------------------------------------------

TABLE = """
apiVersion: dr/v1
kind: Strategy
name: t
place: {project: p, location: us-central1}
objectives:
  - component: appdata
    frequency: real-time
    retention: 90d
    rto: 1h
    rpo: 15m
    sources: [{kind: firestore, name: db, options: {database: db}}]
  - {component: audit, frequency: real-time, retention: 7y, rto: 24h, rpo: 0}
"""


def judged(vault: Place, table: str = TABLE) -> tuple[Finding, ...]:
    strategy = parse_strategy("t.yaml", table.encode())
    return tuple(judge_table(plan_table(strategy, {"appdata": vault}, {}, {})))


def test_a_row_and_domain_that_cannot_be_kept_fails_with_its_reason() -> None:
    far, near = judged(Place("q", "us-east1")), judged(Place("q", "us-central1"))
    assert {one.level for one in far if one.name.startswith("appdata")} == {Level.OK}
    (failed,) = [one for one in near if one.level is Level.FAIL and one.name != "audit"]
    assert failed.name == "appdata, loss of region"
    assert "us-central1" in failed.detail


def test_a_row_without_a_source_is_one_failure() -> None:
    assert [(one.name, one.level) for one in judged(DECLARED) if "audit" in one.name] == [("audit", Level.FAIL)]


def test_a_declared_mode_is_no_miss() -> None:
    follows = TABLE.replace(
        "  - {component: audit, frequency: real-time, retention: 7y, rto: 24h, rpo: 0}",
        """  - component: config
    frequency: on-change
    retention: 1y
    rto: 30m
    rpo: 0
    sources: [{kind: kubernetes, name: c, options: {namespaces: [a], kinds: [configmaps]}}]""",
    )
    strategy = parse_strategy("t.yaml", follows.encode())
    places = {"appdata": Place("q", "us-east1"), "config": Place("q", "us-east1")}
    found = list(judge_table(plan_table(strategy, places, {}, {})))
    assert {one.level for one in found if one.name.startswith("config")} == {Level.OK}
    assert any("not guaranteed" in one.detail for one in found)


# --- the cluster -----------------------------------------------------------------------------------------------------


def checks_of_cluster(server: dict[str, object] | None, looked: datetime | None = None) -> dict[str, tuple[bool, str]]:
    here = world()
    if server is not None:
        here.kube.put("apps/v1/deployments", "velero", {"metadata": {"name": "velero"}, **server})
    if looked:
        (location,) = [body for key, body in here.kube.objects.items() if key[0].endswith("backupstoragelocations")]
        location["status"] = {"phase": "Available", "lastValidationTime": looked.isoformat()}
    whole = check_all(spec(), here.velero, ClusterOptions.read(spec()), START)
    return {one.name: (one.passed, one.detail) for one in (*whole, *check_ready(spec(), here.velero, START))}


def pod(image: str) -> dict[str, object]:
    return {"template": {"spec": {"containers": [{"image": image}]}}}


@pytest.mark.parametrize(
    ("image", "passed", "said"),
    [
        ("velero/velero:v1.18.3", True, "v1.18.3"),
        ("velero/velero:v1.13.0", False, "older than 1.14"),
        ("registry:5000/velero:v1.21.0@sha256:abc", True, "newer than 1.18"),
        ("velero/velero", True, "does not tell its version"),
    ],
)
def test_veleros_version_is_held_to_what_was_tested(image: str, passed: bool, said: str) -> None:
    found = checks_of_cluster({"spec": pod(image)})["velero server"]
    assert (found[0], said in found[1]) == (passed, True), found


def test_a_velero_that_does_not_run_is_seen_though_its_location_still_says_available() -> None:
    alive = checks_of_cluster({"spec": pod("velero:v1.18.0")}, START - timedelta(minutes=2))
    dead = checks_of_cluster({"spec": pod("velero:v1.18.0")}, START - timedelta(minutes=5))
    assert alive["storage location gcp"][0]
    assert not dead["storage location gcp"][0]
    waiting = checks_of_cluster({"spec": {"replicas": 1, **pod("velero:v1.18.0")}})
    assert waiting["velero server"] == (False, "0 of 1 replicas of Deployment velero are available")


def test_what_runs_dr_in_the_cluster_is_judged_by_its_last_run() -> None:
    def job(**status: object) -> Finding:
        return judge_cron_job({"metadata": {"name": "j"}, "spec": {}, "status": status})

    due, done = "2025-05-28T10:00:00Z", "2025-05-28T10:01:00Z"
    assert job().level is Level.OK
    assert job(lastScheduleTime=due, lastSuccessfulTime=done).level is Level.OK
    assert job(lastScheduleTime=due, active=[{}]).level is Level.OK
    assert job(lastScheduleTime=done, lastSuccessfulTime=due).level is Level.FAIL
    assert judge_cron_job({"metadata": {"name": "j"}, "spec": {"suspend": True}}).level is Level.WARN
    short = {"metadata": {"name": "dr"}, "spec": {"replicas": 2}, "status": {"availableReplicas": 1}}
    assert judge_deployment(short).level is Level.FAIL
    ready = {"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert [one.level for one in judge_nodes([ready])] == [Level.WARN]


# --- telling ---------------------------------------------------------------------------------------------------------


def test_every_topic_has_advice_and_a_section_of_the_runbook() -> None:
    checks = page("check")
    for topic in ADVICE:
        assert checks.section(topic)
    for kind in ("velero", "firestore", "kubernetes", "pubsub", "unknown"):
        assert topic_of(kind, "anything") in ADVICE


def test_what_is_fine_is_folded_and_what_is_not_says_what_to_do() -> None:
    fine = [good("g", f"c{n}", True, "well", "locks") for n in range(6)]
    bad = [Finding("g", "bad", Level.FAIL, "gone", "locks"), Finding("h", "worse", Level.FAIL, "gone", "locks")]
    text = plain(findings_sheet([*fine, *bad]))
    assert "6 checks" in text
    assert "c0; c1; c2; c3 and 2 more" in text
    assert text.count("dr runbook show check#locks") == 1
    assert text.rstrip().endswith("8 checks, 2 failed, 0 warned")
    assert "c5" in plain(findings_sheet([*fine, *bad], wide=True))
    item = finding_item(bad[0])
    assert (item["passed"], item["level"], item["runbook"]) == (False, "fail", "check#locks")


def test_domains_are_all_judged() -> None:
    names = {one.name for one in judged(Place("q", "us-east1"))}
    assert {f"appdata, loss of {domain}" for domain in FailureDomain} <= names
