"""The writers of some namespaces, stopped and started again: every workload at zero, every CronJob and running Job suspended.

What a workload was is noted on it, so that whoever finds it (a person, a backup taken behind the fence) knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dr.components.cluster.access import KubeApi
from dr.components.cluster.layout import label_value
from dr.errors import NOT_FOUND, RESTORE_FAILED, DrError
from dr.ports import Json, StepContext
from dr.vendors.kubernetes_objects import (
    CRON_JOBS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    KubeObject,
    Resource,
    annotations_of,
    mapping,
    name_of,
    namespace_of,
    number,
    selects,
    sequence,
    text,
)
from dr.vendors.retry import with_retry

NOTE = "dr/fenced"
"""Annotation: JSON of `by` (the plan), and what it was: `replicas` and `ready`, or `suspend`."""
JOBS = Resource("batch", "v1", "jobs")
_PODS = Resource("", "v1", "pods")
SCALED = (DEPLOYMENTS, STATEFUL_SETS)
SUSPENDED = (CRON_JOBS, JOBS)
_GONE_S, _LOOK_S = 180.0, 0.5
_NAMED = 5


def noted(body: KubeObject) -> Mapping[str, object]:
    """What the fence wrote on an object; empty when it is not fenced."""
    try:
        found = json.loads(annotations_of(body).get(NOTE, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def replicas_of(body: KubeObject) -> int:
    """As it is, or as it was before the fence; Kubernetes' default is one."""
    before = noted(body).get("replicas")
    if isinstance(before, int):
        return before
    spec = mapping(body, "spec")
    return number(spec, "replicas") if "replicas" in spec else 1


def ready_of(body: KubeObject) -> int:
    """As it is, or as it was before the fence."""
    before = noted(body).get("ready")
    return before if isinstance(before, int) else number(body, "status", "readyReplicas")


def suspended_of(body: KubeObject) -> bool:
    """As it is, or as it was before the fence."""
    before = noted(body).get("suspend")
    return before if isinstance(before, bool) else mapping(body, "spec").get("suspend") is True


@dataclass(frozen=True, slots=True)
class Fence:
    """Of one plan over some living namespaces."""

    kube: KubeApi
    plan_id: str
    namespaces: Sequence[str]
    chosen: Callable[[Resource, KubeObject], bool] = lambda _resource, _body: True
    kinds: Sequence[Resource] = (*SCALED, *SUSPENDED)

    def survey(self) -> list[Json]:
        """Everything that may write, as it was."""
        return [{**_identity(resource, body), **_was(resource, body)} for resource, body in self._found()]

    def _found(self) -> Iterator[tuple[Resource, KubeObject]]:
        for namespace in self.namespaces:
            for resource in self.kinds:
                for body in _listed(self.kube, resource, namespace):
                    finished = resource == JOBS and not number(body, "status", "active") and not noted(body)
                    if not finished and self.chosen(resource, body):
                        yield resource, {**body, "metadata": {"namespace": namespace, **mapping(body, "metadata")}}

    def close(self, surveyed: Sequence[object], context: StepContext) -> Json:
        """Stop what was surveyed, and wait for its Pods to be gone."""
        stopped = [self._stop(mapping(one)) for one in surveyed]
        # a Job that its CronJob started just before that was suspended
        stopped += [self._stop(one) for one in self._unfenced()]
        self._await_silence(stopped, context)
        return {"fenced": [title(one) for one in stopped]}

    def _unfenced(self) -> Iterator[KubeObject]:
        for resource, body in self._found():
            if not noted(body):
                yield {**_identity(resource, body), **_was(resource, body)}

    def _stop(self, one: KubeObject) -> KubeObject:
        resource = next(kind for kind in self.kinds if str(kind) == text(one, "resource"))
        was = {key: one[key] for key in ("replicas", "ready", "suspend") if key in one}
        note = json.dumps({"by": label_value(self.plan_id), **was}, sort_keys=True)
        spec: KubeObject = {"replicas": 0} if resource in SCALED else {"suspend": True}
        self._patch(resource, one, {"metadata": {"annotations": {NOTE: note}}, "spec": spec})
        return one

    def _patch(self, resource: Resource, one: KubeObject, body: KubeObject) -> None:
        name, namespace = text(one, "name"), text(one, "namespace")
        try:
            with_retry(lambda: self.kube.patch(resource, name, body, namespace), what=f"patch {title(one)}")
        except DrError as error:
            if error.kind is not NOT_FOUND:  # it went by itself
                raise

    def _await_silence(self, surveyed: Sequence[KubeObject], context: StepContext) -> None:
        began = context.clock.stamp()
        while running := list(self._running(surveyed)):
            context.progress(0, len(running), "Pods gone")
            if context.clock.stamp().seconds_since(began) > _GONE_S:
                shown = ", ".join(running[:_NAMED])
                raise DrError(RESTORE_FAILED, f"the writers are not fenced: {shown} still run after {_GONE_S:.0f} s")
            context.clock.sleep(_LOOK_S)

    def _running(self, surveyed: Sequence[KubeObject]) -> Iterator[str]:
        for one in surveyed:
            labels = {key: str(value) for key, value in mapping(one, "selector").items()}
            if labels:
                for pod in self.kube.list(_PODS, text(one, "namespace"), labels=selects(labels)).items:
                    if text(pod, "status", "phase") not in ("Succeeded", "Failed"):
                        yield f"{namespace_of(pod) or text(one, 'namespace')}/{name_of(pod)}"

    def open(self, owners: Collection[str]) -> Json:
        """Everything that still carries the note of one of those plans is as it was. May be repeated."""
        marks = {label_value(owner) for owner in owners if owner}
        opened = []
        for resource, body in self._found():
            note = noted(body)
            if note.get("by") in marks:
                one = _identity(resource, body)
                spec = {key: note[key] for key in ("replicas", "suspend") if key in note}
                self._patch(resource, one, {"metadata": {"annotations": {NOTE: None}}, "spec": spec})
                opened.append(title(one))
        return {"opened": opened}


def _listed(kube: KubeApi, resource: Resource, namespace: str) -> Sequence[KubeObject]:
    """None where the cluster does not know the kind."""
    try:
        return kube.list(resource, namespace).items
    except DrError as error:
        if error.kind is NOT_FOUND:
            return []
        raise


def _identity(resource: Resource, body: KubeObject) -> dict[str, object]:
    return {"resource": str(resource), "namespace": namespace_of(body), "name": name_of(body)}


def _was(resource: Resource, body: KubeObject) -> dict[str, object]:
    selector = dict(mapping(body, "spec", "selector", "matchLabels"))
    if resource in SCALED:
        return {"replicas": replicas_of(body), "ready": ready_of(body), "selector": selector}
    return {"suspend": suspended_of(body), "selector": selector if resource == JOBS else {}}


def title(one: object) -> str:
    """`deployments.apps app/web`."""
    return f"{text(one, 'resource')} {text(one, 'namespace')}/{text(one, 'name')}"


def workloads(outcome: object) -> Sequence[object]:
    """What a survey found."""
    return sequence(outcome, "writers")
