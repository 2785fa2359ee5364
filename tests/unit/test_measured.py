"""A restore verifies its point first; a drill checks and measures its copy last, and its verdict follows from the journal alone."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta

import pytest

from dr.errors import VERIFICATION_FAILED, DrError
from dr.model.drills import DrillOrder, RowKey, Scenario
from dr.model.evidence import AcknowledgedWrite, DrillRow, Verdict
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import Check
from dr.model.runs import Stamp, StepOutcome
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.ports import Inspection, RestoredItem, RestoreWork
from dr.run.measured import LivingSource, Measured, RecordWitness, Verified
from dr.run.restore import RestoreItem, siblings
from dr.run.verdicts import ItemResult, NotPlanned, judged_rows
from dr.stores.memory import MemoryStore
from tests.unit.fakes import CLUSTER, DATABASE, T0, FakeInspector, FakeRestorer, artefact, manifest, planned, run_all

DISASTER = T0 + timedelta(minutes=2)
GOOD = Inspection((artefact(),), {"items": 1}, ())


def work() -> RestoreWork:
    return RestoreWork("plan", planned(), manifest(), MemoryStore())


def ack(seconds: float, path: str, sha: str) -> AcknowledgedWrite:
    return AcknowledgedWrite(T0 + timedelta(seconds=seconds), str(DATABASE), path, int(seconds), sha)


def test_a_good_point_is_verified_and_then_restored() -> None:
    restorer = FakeRestorer()
    outcomes = run_all(Verified(restorer, {"fake": FakeInspector(GOOD)}).steps(work()))
    assert list(outcomes) == ["verify-point", "create"]
    assert outcomes["verify-point"]["counts"] == {"items": 1}


@pytest.mark.parametrize(
    "found",
    [
        Inspection((), {"items": 1}, ()),
        Inspection((replace(artefact(), sha256="b" * 64),), {"items": 1}, ()),
        Inspection((replace(artefact(), size=2),), {"items": 1}, ()),
        Inspection((artefact(),), {"items": 0}, ()),
        Inspection((artefact(),), {"items": 1}, (Check("data/x/1/a", False, "gzip ends early"),)),
    ],
)
def test_damage_is_named_before_anything_is_created(found: Inspection) -> None:
    restorer = FakeRestorer()
    with pytest.raises(DrError) as error:
        run_all(Verified(restorer, {"fake": FakeInspector(found)}).steps(work()))
    assert error.value.kind is VERIFICATION_FAILED
    assert manifest().name in error.value.message
    assert restorer.ran == []


def measured_rows(
    restored: dict[str, str], *acks: AcknowledgedWrite, took: float = 30.0, error: str = ""
) -> list[DrillRow]:
    """Run a measured restore of one item and judge what it journalled."""
    witness = RecordWitness(lambda _: acks, DISASTER)
    restorer = Measured(Verified(FakeRestorer(restored), {"fake": FakeInspector(GOOD)}), witness)
    outcomes = run_all(restorer.steps(work()))
    stamps = [Stamp(DISASTER, 100.0, "b"), Stamp(DISASTER + timedelta(seconds=took), 100.0 + took, "b")]
    journalled = tuple(StepOutcome(name, i, 1, *stamps, data) for i, (name, data) in enumerate(outcomes.items(), 1))
    return list(judged_rows(order(), strategy(), [ItemResult(planned(), journalled, error)], ()))


def order() -> DrillOrder:
    scenario = Scenario("s", "why", (RowKey("appdata", FailureDomain.SOURCE),))
    declared = Stamp(DISASTER + timedelta(seconds=10), 100.0, "b")
    return DrillOrder("drill-1", scenario, "lab", T0, DISASTER, declared, "file:x")


def strategy() -> Strategy:
    def row(component: str, *sources: SourceSpec, rpo: timedelta) -> Objective:
        domains = (FailureDomain.LOGICAL, FailureDomain.SOURCE)
        return Objective(
            component, Frequency.REAL_TIME, timedelta(days=90), timedelta(minutes=1), rpo, domains, sources
        )

    appdata = row("appdata", SourceSpec(DATABASE, Place()), rpo=timedelta(seconds=100))
    return Strategy("t", (appdata, row("audit", rpo=timedelta(0))))


def test_the_row_says_what_was_lost_and_how_old_it_was() -> None:
    rows = measured_rows({"a": "1" * 64}, ack(1, "a", "1" * 64), ack(60, "b", "2" * 64))
    source = next(row for row in rows if row.domain is FailureDomain.SOURCE and row.component == "appdata")
    assert source.verdict is Verdict.MET
    assert (source.rpo.writes_lost, source.rpo.oldest_lost_s, source.rpo.acknowledged) == (1, 60.0, 2)
    assert (source.rto.measured_s, source.rto.detection_s) == (30.0, 10.0)


def test_rows_that_were_not_drilled_or_captured_are_not_left_out() -> None:
    rows = measured_rows({"a": "1" * 64}, ack(1, "a", "1" * 64))
    verdicts = {(row.component, row.domain): row.verdict for row in rows}
    assert verdicts["appdata", FailureDomain.LOGICAL] is Verdict.NOT_DRILLED
    assert verdicts["audit", FailureDomain.SOURCE] is Verdict.NOT_CAPTURED


@pytest.mark.parametrize(
    ("restored", "acks", "took", "error", "verdict", "finding"),
    [
        ({"a": "9" * 64}, [ack(1, "a", "1" * 64)], 30, "", Verdict.FAILED, "content that nobody wrote"),
        ({}, [], 30, "", Verdict.FAILED, "acknowledged no write"),
        ({"a": "1" * 64}, [ack(1, "a", "1" * 64)], 60, "", Verdict.MISSED, "recovered in 1m"),
        ({}, [ack(1, "a", "1" * 64)], 30, "", Verdict.MISSED, "oldest lost write was 1m59s"),
        ({"a": "1" * 64}, [ack(1, "a", "1" * 64)], 30, "velero said no", Verdict.FAILED, "velero said no"),
    ],
)
def test_what_speaks_against_a_row_is_found(
    restored: dict[str, str], acks: list[AcknowledgedWrite], took: float, error: str, verdict: Verdict, finding: str
) -> None:
    row = next(
        r for r in measured_rows(restored, *acks, took=took, error=error) if r.verdict is not Verdict.NOT_DRILLED
    )
    assert row.verdict is verdict
    assert any(finding in text for text in row.findings), row.findings


def test_what_could_not_be_planned_fails_its_row() -> None:
    missing = NotPlanned(RowKey("appdata", FailureDomain.SOURCE), str(DATABASE), "nothing is captured yet")
    rows = judged_rows(order(), strategy(), (), [missing])
    row = next(r for r in rows if r.domain is FailureDomain.SOURCE and r.component == "appdata")
    assert row.verdict is Verdict.FAILED
    assert "nothing is captured yet" in row.findings


def test_the_living_source_gives_a_lower_bound() -> None:
    future: Future[list[RestoredItem]] = Future()
    future.set_result([RestoredItem("a", "2" * 64, T0 + timedelta(seconds=30))])
    witness = LivingSource({str(CLUSTER): future}, DISASTER)
    lost = witness.judge(planned(CLUSTER), {"a": "1" * 64})
    assert (lost.lost, lost.oldest_lost_s, lost.at_least) == (1, 90.0, True)


def test_of_two_restored_databases_the_one_for_the_same_loss_is_the_sibling() -> None:
    def database(domain: FailureDomain, name: str) -> PlannedRestore:
        return replace(planned(DATABASE, domain), target=Target(isolated=True, names={"database": name}))

    own = replace(planned(CLUSTER, FailureDomain.SOURCE), reasons=("own",))
    both = (database(FailureDomain.SOURCE, "same"), database(FailureDomain.LOGICAL, "other"))
    for items in ((*both, own), (own, *reversed(both))):
        plan = RestorePlan("p", T0, T0, "", items)
        item = RestoreItem(own, FakeRestorer(), MemoryStore(), None)
        assert siblings(plan, item) == {"appdata.database": "same"}
