"""The tripwire of a drill: each way out of a contained copy, broken once, is seen and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from dr.components.cluster import probing
from dr.components.cluster.containing import POLICY, policy_spec
from dr.components.cluster.layout import LABEL_PLAN
from dr.components.cluster.names import Names
from dr.components.cluster.probing import Probing
from dr.components.cluster.tripwire import Tripwire
from dr.errors import NOT_CONTAINED, RESTORE_FAILED, TIMED_OUT, UNREACHABLE, DrError, ErrorKind
from dr.model.evidence import DrillReport
from dr.model.points import Check
from dr.record.codec import decode, encode
from dr.report.drill_html import drill_html
from dr.report.drill_json import drill_json, read_drill_json
from dr.report.junit import junit
from dr.report.screen import Screen, show
from dr.report.tables import drill_sheet
from dr.run.measured import Measured, RecordWitness
from dr.run.restore import ItemResult, Restored, RestoreItem
from dr.run.tripwire import apart, tripped
from dr.vendors.kubernetes import Listing
from dr.vendors.kubernetes_objects import PODS, Resource, mapping, sequence
from tests.unit.test_report import MET, report
from tests.unit.test_velero_restore import Work, whole
from tests.unit.velero_world import START, Context, FakeKube, World, world

SINCE = "2026-01-02T03:04:00Z"
POLICIES, CONFIG = "networking.k8s.io/v1/networkpolicies", "v1/configmaps"
Break = Callable[[FakeKube], None]


def failed(here: World, work: Work, done: object) -> Mapping[str, str]:
    outcomes = {**work.context.outcomes, "contain": {**work.context.outcomes["contain"], "since": SINCE}}
    checks = work.restorer.reached(done, outcomes)  # type: ignore[arg-type]
    assert len(checks) == 4
    return {check.name: check.detail for check in checks if not check.passed}


def opened(kube: FakeKube) -> None:
    kube.put(POLICIES, "drill-app", {"metadata": {"name": POLICY}, "spec": policy_spec(["0.0.0.0/0"])})


def added(kube: FakeKube) -> None:
    kube.put(POLICIES, "drill-app", {"metadata": {"name": "allow-all"}, "spec": {"egress": [{}]}})


def removed(kube: FakeKube) -> None:
    del kube.objects[POLICIES, "drill-app", POLICY]


def restored_into_production(kube: FakeKube) -> None:
    labels = {"velero.io/restore-name": next(name for (kind, _, name) in kube.objects if kind.endswith("/restores"))}
    kube.put(CONFIG, "app", {"metadata": {"name": "config", "namespace": "app", "labels": labels}})


def written_in_production(kube: FakeKube) -> None:
    managed = [{"manager": "dr", "operation": "Update", "time": "2026-01-02T03:04:10Z"}]
    kube.put(CONFIG, "app", {"metadata": {"name": "config", "namespace": "app", "managedFields": managed}})


def labelled_in_production(kube: FakeKube) -> None:
    kube.put(CONFIG, "app", {"metadata": {"name": "config", "namespace": "app", "labels": {LABEL_PLAN: "plan-1"}}})


@pytest.mark.parametrize(
    ("broken", "check", "word"),
    [
        (opened, "tripwire: containment", "was changed"),
        (added, "tripwire: containment", "allow-all was added"),
        (removed, "tripwire: containment", "no policy dr-contain"),
        (restored_into_production, "tripwire: restored outside", "configmaps app/config"),
        (written_in_production, "tripwire: production", "configmaps app/config"),
        (labelled_in_production, "tripwire: production", "configmaps app/config"),
    ],
)
def test_a_broken_containment_is_named(broken: Break, check: str, word: str) -> None:
    here = world()
    work, done = whole(here)
    assert failed(here, work, done) == {}
    broken(here.kube)
    found = failed(here, work, done)
    assert list(found) == [check]
    assert word in found[check]


def test_what_production_and_others_write_in_production_is_no_alarm() -> None:
    here = world()
    work, done = whole(here)
    before = [{"manager": "dr", "time": "2026-01-02T03:03:59Z"}, {"manager": "kubectl", "time": "2026-01-02T03:05:00Z"}]
    here.kube.put(CONFIG, "app", {"metadata": {"name": "own", "namespace": "app", "managedFields": before}})
    assert failed(here, work, done) == {}


def test_nothing_is_asked_of_a_restore_that_never_began_nor_of_a_real_one() -> None:
    names = Names("p", "n", "b", "", {"app": "drill-app"}, isolated=True)
    assert Tripwire(FakeKube(), names, ()).checks(None) == ()
    assert Tripwire(FakeKube(), replace(names, isolated=False), ()).checks({"since": SINCE}) == ()


# --- the probe


class Prober:
    """A cluster whose Pods end as they are told."""

    def __init__(self, phase: str = "Succeeded", code: int = 0, message: str = "nothing was reached") -> None:
        self.kube, self.context = FakeKube(), Context()
        self.ended = {
            "phase": phase,
            "containerStatuses": [{"state": {"terminated": {"exitCode": code, "message": message}}}],
        }
        self.kube.on_create = self.created
        self.kube.put("v1/serviceaccounts", "drill-app", {"metadata": {"name": "default"}})
        self.pods: list[Mapping[str, object]] = []

    def created(self, resource: Resource, body: dict[str, object]) -> None:
        if resource == PODS:
            self.pods.append(body)
            body["status"] = self.ended

    def run(self, *endpoints: str) -> Mapping[str, object]:
        names = Names("p", "n", "b", "", {"app": "drill-app"}, isolated=True)
        return Probing(self.kube, names, "dr:1", endpoints).run(self.context)

    def fails(self) -> tuple[ErrorKind, str]:
        with pytest.raises(DrError) as caught:
            self.run()
        return caught.value.kind, caught.value.message


def test_a_probe_that_gets_nowhere_is_journalled_and_gone() -> None:
    here = Prober()
    assert here.run("10.0.0.1:443")["tried"] == ["10.0.0.1:443"]
    (pod,) = here.pods
    (container,) = sequence(pod, "spec", "containers")
    assert mapping(container)["args"] == ["10.0.0.1:443"]
    assert mapping(pod, "spec")["automountServiceAccountToken"] is False
    assert here.kube.get(PODS, probing.NAME, "drill-app") is None


def test_a_probe_that_gets_out_stops_the_drill_by_name() -> None:
    kind, message = Prober("Failed", 3, "reached 10.0.0.1:443").fails()
    assert kind is NOT_CONTAINED
    assert "reached 10.0.0.1:443" in message


def test_a_probe_that_cannot_run_proves_nothing() -> None:
    kind, message = Prober("Failed", 1, "no module named socket").fails()
    assert kind is RESTORE_FAILED
    assert "no module named socket" in message
    assert Prober("Pending").fails()[0] is TIMED_OUT


def test_a_namespace_without_its_account_is_waited_for_and_given_up() -> None:
    here = Prober()
    here.kube.objects.clear()
    assert here.fails()[0] is TIMED_OUT


# --- in the report

FAILED = Check("tripwire: containment", False, "policy allow-all was added to drill-app")


def test_a_tripwire_that_cannot_be_looked_at_fails() -> None:
    here = world()
    work, done = whole(here)
    item = RestoreItem(
        done.item, Measured(work.restorer, RecordWitness(lambda source: (), START)), done.vault, done.manifest
    )
    result = ItemResult(item, done, Restored.DONE, work.context.outcomes, ())
    assert all(check.passed for check in tripped(result))

    def away(*_: object, **__: object) -> Listing:
        raise DrError(UNREACHABLE, "no answer")

    here.kube.list = away  # type: ignore[method-assign]
    (check,) = tripped(result)
    assert not check.passed
    assert "no answer" in check.detail


def test_checks_of_the_tripwire_stand_apart_from_the_teardown() -> None:
    torn = Check("namespace drill-app", True, "deleted")
    assert apart([FAILED, torn]) == ((FAILED,), (torn,))


def test_a_drill_that_reached_something_has_not_passed_and_every_form_says_so() -> None:
    good = report(MET, teardown=(Check("namespace drill-app", True, "deleted"),))
    assert good.passed
    bad = replace(good, tripwire=(FAILED,))
    assert not bad.passed
    assert read_drill_json(drill_json(bad)).tripwire == bad.tripwire
    assert decode(encode(bad), DrillReport, "report").tripwire == bad.tripwire
    assert 'failures="1"' in junit(bad)
    said = "policy allow-all was added to drill-app"
    assert all(
        said in form for form in (drill_html(bad), junit(bad), show(drill_sheet(bad), Screen(200, colour=False)))
    )


def test_reports_of_older_versions_have_no_tripwire() -> None:
    stored = json.loads(encode(report(MET)))
    assert "tripwire" not in stored
    assert decode(json.dumps(stored).encode(), DrillReport, "report").tripwire == ()
