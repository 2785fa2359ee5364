"""The fence around the writers of some namespaces: stopped, noted, waited for, and let go as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from dr.components.cluster.fencing import NOTE, Fence, noted, ready_of, replicas_of, suspended_of
from dr.errors import RESTORE_FAILED, DrError
from dr.vendors.kubernetes_objects import DEPLOYMENTS, KubeObject, mapping
from tests.unit.velero_world import Context, FakeKube

PLAN = "restore-1"
WEB = "apps/v1/deployments"


@dataclass
class Site:
    """A namespace with a Deployment of three, a CronJob and a running Job; Pods that go when their workload is stopped."""

    kube: FakeKube = field(default_factory=FakeKube)
    stubborn: bool = False

    def __post_init__(self) -> None:
        selector = {"matchLabels": {"app": "web"}}
        body = {
            "metadata": {"name": "web"},
            "spec": {"replicas": 3, "selector": selector},
            "status": {"readyReplicas": 3},
        }
        self.kube.put(WEB, "app", body)
        self.kube.put("batch/v1/cronjobs", "app", {"metadata": {"name": "tick"}, "spec": {"suspend": False}})
        job = {
            "metadata": {"name": "tick-1"},
            "spec": {"selector": {"matchLabels": {"job": "tick-1"}}},
            "status": {"active": 1},
        }
        self.kube.put("batch/v1/jobs", "app", job)
        over = {"metadata": {"name": "tick-0"}, "spec": {}, "status": {"succeeded": 1}}
        self.kube.put("batch/v1/jobs", "app", over)
        self.kube.put("v1/pods", "app", {"metadata": {"name": "web-1", "labels": {"app": "web"}}})
        self.kube.put("v1/pods", "app", {"metadata": {"name": "tick-1-x", "labels": {"job": "tick-1"}}})

    def fence(self, plan: str = PLAN) -> Fence:
        return Fence(self.kube, plan, ["app"])

    def close(self, fence: Fence) -> Context:
        context = Context()
        context.clock.sleep = self._pods_go(context.clock.sleep)  # type: ignore[method-assign]
        surveyed = fence.survey()
        fence.close(surveyed, context)
        return context

    def _pods_go(self, sleep: Callable[[float], None]) -> Callable[[float], None]:
        def slept(seconds: float) -> None:
            sleep(seconds)
            if not self.stubborn:
                for key in [key for key in self.kube.objects if key[0] == "v1/pods"]:
                    del self.kube.objects[key]

        return slept

    def of(self, path: str, name: str) -> KubeObject:
        return self.kube.objects[path, "app", name]


def test_everything_that_writes_is_stopped_and_waited_for() -> None:
    site = Site()
    site.close(site.fence())
    assert mapping(site.of(WEB, "web"), "spec")["replicas"] == 0
    assert mapping(site.of("batch/v1/cronjobs", "tick"), "spec")["suspend"] is True
    assert mapping(site.of("batch/v1/jobs", "tick-1"), "spec")["suspend"] is True
    assert not [key for key in site.kube.objects if key[0] == "v1/pods"]


def test_a_job_that_is_over_is_left_alone() -> None:
    site = Site()
    site.close(site.fence())
    assert not noted(site.of("batch/v1/jobs", "tick-0"))


def test_a_job_that_starts_between_survey_and_fence_is_stopped_too() -> None:
    site = Site()
    late = {"metadata": {"name": "late"}, "spec": {}, "status": {"active": 1}}
    fence = site.fence()
    surveyed = fence.survey()
    site.kube.put("batch/v1/jobs", "app", late)
    for key in [key for key in site.kube.objects if key[0] == "v1/pods"]:
        del site.kube.objects[key]
    fence.close(surveyed, Context())
    assert mapping(site.of("batch/v1/jobs", "late"), "spec")["suspend"] is True


def test_pods_that_do_not_go_mean_no_fence_and_are_named() -> None:
    site = Site(stubborn=True)
    with pytest.raises(DrError, match="app/web-1") as caught:
        site.close(site.fence())
    assert caught.value.kind is RESTORE_FAILED


def test_let_go_all_is_as_it_was_and_the_notes_are_gone() -> None:
    site = Site()
    site.close(site.fence())
    site.fence().open([PLAN])
    assert mapping(site.of(WEB, "web"), "spec")["replicas"] == 3
    assert mapping(site.of("batch/v1/cronjobs", "tick"), "spec")["suspend"] is False
    assert NOTE not in mapping(site.of(WEB, "web"), "metadata", "annotations")
    assert site.fence().open([PLAN]) == {"opened": []}


def test_the_fence_of_another_plan_is_not_let_go() -> None:
    site = Site()
    site.close(site.fence("another"))
    site.fence().open([PLAN])
    assert mapping(site.of(WEB, "web"), "spec")["replicas"] == 0


def test_a_second_fence_of_one_plan_knows_what_was_before_the_first() -> None:
    """A database and a cluster in one plan stop the same workload; so does a step that runs again after a crash."""
    site = Site()
    site.close(site.fence())
    again = site.fence().survey()
    assert [one["replicas"] for one in again if one["resource"] == str(DEPLOYMENTS)] == [3]
    site.close(site.fence())
    site.fence().open([PLAN])
    assert mapping(site.of(WEB, "web"), "spec")["replicas"] == 3


def test_a_copy_taken_behind_the_fence_is_read_as_it_was_before() -> None:
    note = json.dumps({"by": PLAN, "replicas": 3, "ready": 2})
    body = {"metadata": {"annotations": {NOTE: note}}, "spec": {"replicas": 0}}
    assert (replicas_of(body), ready_of(body)) == (3, 2)
    suspended = {
        "metadata": {"annotations": {NOTE: json.dumps({"by": PLAN, "suspend": False})}},
        "spec": {"suspend": True},
    }
    assert suspended_of(suspended) is False
    assert replicas_of({"metadata": {"annotations": {NOTE: "{broken"}}, "spec": {"replicas": 4}}) == 4
