"""The application, pointed at another database, started, asked whether it works; and pointed back when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dr.components.cluster.access import Cutover, KubeApi
from dr.components.cluster.fencing import SCALED, Fence
from dr.components.cluster.releasing import healthy, unready
from dr.errors import NOT_FOUND, RESTORE_FAILED, DrError
from dr.ports import Json, Step, StepContext
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    KubeObject,
    Resource,
    mapping,
    name_of,
    number,
    text,
)

CUT_OVER, START, BACK_OUT, VERDICT = "cut-over", "start", "back-out", "cut-over-verdict"
_LOOK_S = 1.0
_READERS = ("configMapRef", "configMapKeyRef", "configMap")


@dataclass(frozen=True, slots=True)
class Application:
    """Whatever reads the ConfigMap that names the database."""

    kube: KubeApi
    cutover: Cutover
    plan_id: str
    healthy_s: float
    """How long it may take until it says that it works, seconds."""
    demanded: bool = True
    """Whether it must work. One that goes back to what it did not work on before need not."""

    @property
    def fence(self) -> Fence:
        return Fence(self.kube, self.plan_id, [self.cutover.namespace], chosen=self._reads)

    def _reads(self, resource: Resource, body: KubeObject) -> bool:
        declared = resource in SCALED and name_of(body) == self.cutover.workload
        return declared or mentions(mapping(body, "spec"), self.cutover.config_map)

    def pointed_at(self) -> str:
        """The database in use. Raises DrError NOT_FOUND."""
        cut = self.cutover
        found = self.kube.get(CONFIG_MAPS, cut.config_map, cut.namespace)
        if found is None:
            raise DrError(NOT_FOUND, f"ConfigMap {cut.namespace}/{cut.config_map} that names the database is not there")
        return text(found, "data", cut.key)

    def point(self, database: str) -> Json:
        """Asks first: it may be done already."""
        cut, was = self.cutover, self.pointed_at()
        if was != database:
            self.kube.patch(CONFIG_MAPS, cut.config_map, {"data": {cut.key: database}}, cut.namespace)
        return {"namespace": cut.namespace, "configMap": cut.config_map, "key": cut.key, "now": database}

    def start(self, owners: Sequence[str], context: StepContext) -> Json:
        """Open the fence, and wait for the declared workload's own word."""
        opened = self.fence.open(owners)
        began = context.clock.stamp()
        good, said = self.health()
        while not good and self.demanded and context.clock.stamp().seconds_since(began) <= self.healthy_s:
            context.progress(0, None, "healthy")
            context.clock.sleep(_LOOK_S)
            good, said = self.health()
        return {**opened, "healthy": good, "said": said}

    def health(self) -> tuple[bool, str]:
        """Whether it is healthy now, and in what words."""
        cut = self.cutover
        for resource in SCALED:
            found = self.kube.get(resource, cut.workload, cut.namespace)
            if found is not None:
                wanted, ready = number(found, "spec", "replicas"), number(found, "status", "readyReplicas")
                said = f"{cut.namespace}/{cut.workload}: {ready} of {wanted} replicas ready"
                good = healthy(found, min(1, wanted))
                return good, said if good else f"{said}; {unready(self.kube, found, cut.namespace)}"
        return False, f"workload {cut.namespace}/{cut.workload} does not exist"

    # --- as steps

    def steps(self, to: str, back: str, owners: Sequence[str]) -> tuple[Step, ...]:
        """To one database, and back to the other unless the application says that it works."""
        return (
            Step(CUT_OVER, lambda _: {**self.point(to), "was": back}),
            Step(START, lambda ctx: self.start(owners, ctx)),
            Step(BACK_OUT, lambda ctx: self._back_out(back, owners, ctx)),
            Step(VERDICT, lambda ctx: self._verdict(to, ctx)),
        )

    def _back_out(self, back: str, owners: Sequence[str], context: StepContext) -> Json:
        """The application reads the name of its database when it starts: it is stopped, pointed back and started anew."""
        if context.outcome(START)["healthy"] or not self.demanded:
            return {"backed_out": False}
        fence = self.fence
        fence.close(fence.survey(), context)
        pointed = self.point(back)
        return {"backed_out": True, **pointed, **self.start(owners, context)}

    def _verdict(self, to: str, context: StepContext) -> Json:
        """Raises DrError RESTORE_FAILED after a back-out, every time it is asked."""
        started, back = context.outcome(START), context.outcome(BACK_OUT)
        if not back["backed_out"]:
            return {"database": to, "said": started["said"]}
        state = "is healthy there" if back["healthy"] else f"is not healthy there either ({back['said']})"
        said = f"{started['said']}; it was pointed back at {back['now']} and {state}"
        hint = f"{to} is left as it was restored; look at it, then plan another restore"
        raise DrError(RESTORE_FAILED, f"the application is not healthy on {to}: {said}", hint=hint)


def mentions(value: object, config_map: str) -> bool:
    """Whether a workload's template reads that ConfigMap."""
    if isinstance(value, dict):
        named = any(text(value, key, "name") == config_map for key in _READERS)
        return named or any(mentions(inner, config_map) for inner in value.values())
    return isinstance(value, list) and any(mentions(inner, config_map) for inner in value)
