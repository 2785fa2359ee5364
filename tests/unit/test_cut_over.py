"""The application pointed at a restored database: by its own health, and back when that fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from dr.components.cluster.access import Cutover
from dr.components.cluster.cutting import Application, mentions
from dr.components.cluster.fencing import NOTE
from dr.errors import NOT_FOUND, RESTORE_FAILED, DrError
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping
from tests.unit.velero_world import Context, FakeKube, TickingClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dr.ports import Step

CUT = Cutover("app", "settings", "DATABASE", "web")
OLD, NEW, PLAN = "live", "live-restored", "restore-1"


class Obeying(FakeKube):
    """A cluster whose Deployment starts with the database that its ConfigMap names then, and works only on `good` ones."""

    good: frozenset[str] = frozenset({OLD, NEW})
    patched: list[str]

    def patch(self, resource: Resource, name: str, body: KubeObject, namespace: str = "") -> KubeObject:
        found = super().patch(resource, name, body, namespace)
        if resource.plural == "configmaps":
            self.patched.append(str(mapping(body, "data")["DATABASE"]))
        if resource.plural == "deployments":
            wanted = mapping(found, "spec")["replicas"]
            works = self.named() in self.good
            ready = wanted if works else 0
            counts = dict.fromkeys(("updatedReplicas", "readyReplicas", "availableReplicas"), ready)
            key = ("apps/v1/deployments", namespace, name)
            self.objects[key] = {**found, "status": {**counts, "observedGeneration": 9}}
        return found

    def named(self) -> str:
        return str(mapping(self.objects["v1/configmaps", "app", "settings"], "data")["DATABASE"])


def cluster(*good: str) -> Obeying:
    kube = Obeying()
    kube.good, kube.patched = frozenset(good), []
    kube.put("v1/configmaps", "app", {"metadata": {"name": "settings"}, "data": {"DATABASE": OLD, "LEVEL": "info"}})
    template = {"containers": [{"envFrom": [{"configMapRef": {"name": "settings"}}]}]}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": template}}
    kube.put("apps/v1/deployments", "app", {"metadata": {"name": "web", "generation": 1}, "spec": spec})
    other = {"replicas": 2, "selector": {"matchLabels": {"app": "other"}}}
    kube.put("apps/v1/deployments", "app", {"metadata": {"name": "other", "generation": 1}, "spec": other})
    return kube


@dataclass
class Cutting:
    """A fenced application on its way from OLD to NEW."""

    kube: Obeying
    context: Context = field(default_factory=lambda: Context(TickingClock()))
    demanded: bool = True

    def __post_init__(self) -> None:
        fence = self.application.fence
        fence.close(fence.survey(), self.context)

    @property
    def application(self) -> Application:
        return Application(self.kube, CUT, PLAN, 30.0, self.demanded)

    @property
    def steps(self) -> Sequence[Step]:
        return self.application.steps(NEW, OLD, (PLAN,))

    def run(self) -> None:
        for step in self.steps:
            if step.name not in self.context.outcomes:
                self.context.journal(step.name, step.run(self.context))

    @property
    def replicas(self) -> object:
        return mapping(self.kube.objects["apps/v1/deployments", "app", "web"], "spec")["replicas"]


def test_an_application_that_works_on_the_restored_database_stays_there() -> None:
    cutting = Cutting(cluster(OLD, NEW))
    cutting.run()
    assert (cutting.kube.named(), cutting.replicas) == (NEW, 3)
    assert cutting.context.outcomes["cut-over"]["was"] == OLD
    assert not cutting.context.outcomes["back-out"]["backed_out"]


def test_one_that_does_not_is_pointed_back_and_the_restore_fails_and_says_so() -> None:
    cutting = Cutting(cluster(OLD))
    with pytest.raises(DrError, match=f"not healthy on {NEW}.*pointed back at {OLD} and is healthy") as caught:
        cutting.run()
    assert caught.value.kind is RESTORE_FAILED
    assert (cutting.kube.named(), cutting.replicas) == (OLD, 3)


def test_a_resume_after_a_back_out_says_the_same_and_changes_nothing() -> None:
    cutting = Cutting(cluster(OLD))
    for _ in range(2):
        with pytest.raises(DrError, match="pointed back"):
            cutting.run()
    assert cutting.kube.patched == [NEW, OLD]


def test_one_that_works_on_neither_is_said_to_work_on_neither() -> None:
    cutting = Cutting(cluster())
    with pytest.raises(DrError, match="not healthy there either"):
        cutting.run()
    assert cutting.kube.named() == OLD


def test_killed_after_each_effect_it_comes_to_the_same_end() -> None:
    """The effect is there, the journal entry is not."""
    for name in ("cut-over", "start", "back-out"):
        cutting = Cutting(cluster(OLD))
        for step in cutting.steps:
            if step.name == name:
                step.run(cutting.context)
                break
            cutting.context.journal(step.name, step.run(cutting.context))
        with pytest.raises(DrError, match=f"pointed back at {OLD} and is healthy"):
            cutting.run()
        assert (cutting.kube.named(), cutting.replicas) == (OLD, 3), name
        assert cutting.context.outcomes["cut-over"]["was"] == OLD, name


def test_what_did_not_work_before_need_not_work_when_it_is_gone_back_to() -> None:
    cutting = Cutting(cluster(OLD), demanded=False)
    cutting.run()
    assert cutting.kube.named() == NEW
    assert cutting.context.outcomes["start"]["healthy"] is False


def test_only_what_reads_the_name_of_the_database_is_stopped() -> None:
    cutting = Cutting(cluster(OLD, NEW))
    other = cutting.kube.objects["apps/v1/deployments", "app", "other"]
    assert mapping(other, "spec")["replicas"] == 2
    assert NOTE not in mapping(other, "metadata", "annotations")
    assert cutting.replicas == 0


def test_the_ways_a_workload_may_read_it() -> None:
    for key in ("configMapRef", "configMapKeyRef", "configMap"):
        assert mentions({"template": [{"deep": {key: {"name": "settings"}}}]}, "settings")
    assert not mentions({"secretRef": {"name": "settings"}}, "settings")


def test_without_the_config_map_nothing_can_be_cut_over() -> None:
    kube = cluster(OLD)
    del kube.objects["v1/configmaps", "app", "settings"]
    with pytest.raises(DrError, check=lambda error: error.kind is NOT_FOUND):
        Application(kube, CUT, PLAN, 1.0).pointed_at()
