"""Restores over what lives: how undo points are made, which part of each source is meant, and the plan that goes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dr.app.captures import capture_of
from dr.app.core import App
from dr.app.holding import hold
from dr.components.wiring import Kit
from dr.errors import NOT_FOUND, REJECTED, USAGE, DrError
from dr.model.ids import Slot
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import PointManifest
from dr.model.strategy import SourceSpec
from dr.ports import Json, Restorer
from dr.record.catalogue import ReadPoint, find_point
from dr.record.holds import active_holds
from dr.run.overlive import SURVEY, OverLive, UndoPoints, is_over_live
from dr.run.runner import CaptureResult
from dr.run.undo import Undone, undo_item, without_needless

TENANT, NAMESPACE = "tenant:", "namespace:"
_OF_NAMESPACES = ("cluster", "config")
_OF_TENANTS = ("cluster", "config", "appdata")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a person narrowed a restore to. Empty: everything, under its own names."""

    tenant: str = ""
    namespaces: tuple[str, ...] = ()
    mapped: Mapping[str, str] = field(default_factory=dict)
    """Source-side namespace -> the name that it gets."""

    @property
    def names(self) -> tuple[str, ...]:
        """As a target carries them."""
        tenant = (f"{TENANT}{self.tenant}",) if self.tenant else ()
        return (*tenant, *(f"{NAMESPACE}{name}" for name in self.namespaces))


EVERYTHING = Scope()


def guarded(app: App, kit: Kit, restorer: Restorer) -> Restorer:
    """Over what lives by the safety rule, where the component has one."""
    if kit.guard is None:
        return restorer
    return OverLive(restorer, kit.guard, lambda: undo_points(app), lambda: app.control, lambda: app.inspectors)


def undo_points(app: App) -> UndoPoints:
    """By the identity that captures: who restores may write no vault."""
    capturer = replace(app, role="capture")

    def capture(slot: Slot, living: Sequence[str]) -> CaptureResult:
        return capture_of(capturer, slot, _of_the_living(capturer.spec(slot.source), living))

    def held(name: str, reason: str) -> None:
        standing = active_holds(capturer.control, capturer.clock.now(), name).get(name, ())
        if not any(record.reason == reason for record in standing):
            hold(capturer, name, reason, None)

    return UndoPoints(capture, held)


def _of_the_living(spec: SourceSpec, living: Sequence[str]) -> SourceSpec:
    """A namespace that is gone cannot be captured; those that are named and stand can."""
    named = spec.options.get("namespaces")
    if not living or not isinstance(named, list | tuple):
        return spec
    return replace(spec, options={**spec.options, "namespaces": [name for name in named if name in living]})


# --- what is meant


def aimed(
    specs: Sequence[SourceSpec], over: Sequence[str], named: Sequence[str], scope: Scope
) -> list[tuple[SourceSpec, Target]]:
    """Each source with where it goes, without those that a scope does not speak of. Raises DrError USAGE."""
    if scope.mapped and "newer" in named:
        raise DrError(USAGE, "--map makes new namespaces: nothing newer can be in them to be deleted")
    meant = [spec for spec in specs if _speaks_of(scope, spec)]
    if not meant:
        raise DrError(USAGE, "none of these components has namespaces or tenants to choose from")
    names = {spec.id.name for spec in meant}
    other = next((name for name in over if name not in names), "")

    def target(spec: SourceSpec) -> Target:
        protected = spec.id.name if spec.id.name in over else other
        maps = dict(scope.mapped) if spec.id.component in _OF_NAMESPACES else {}
        return Target(isolated=False, names=maps, protected=protected, named=tuple(named), scope=scope.names)

    return [(spec, target(spec)) for spec in meant]


def _speaks_of(scope: Scope, spec: SourceSpec) -> bool:
    component = spec.id.component
    if scope.namespaces or scope.mapped:
        return component in _OF_NAMESPACES
    return component in _OF_TENANTS if scope.tenant else True


def settled_together(plan: RestorePlan) -> RestorePlan:
    """A cluster that is restored beside a database cuts over and lets the writers write, once both are there."""
    clusters = [item for item in plan.items if item.source.component == "cluster" and not item.target.isolated]
    if not any(item.details.get("cutover") and not item.target.scope for item in clusters):
        return plan
    return replace(plan, items=tuple(map(_left_to_the_cluster, plan.items)))


def _left_to_the_cluster(item: PlannedRestore) -> PlannedRestore:
    if item.source.component != "appdata" or not is_over_live(item):
        return item
    return replace(item, details={**item.details, "cutover_elsewhere": True})


# --- going back


def undo_plan(app: App, plan: RestorePlan, now: datetime) -> RestorePlan:
    """What brings back the state before that restore. Raises DrError NOT_FOUND when it changed nothing, REJECTED when it is an
    undo that came to its end already in another way."""
    if not any(is_over_live(item) for item in plan.items):
        hint = "what it made stands beside what was there; remove it by hand"
        raise DrError(REJECTED, f"{plan.id} went over nothing: there is nothing to go back to", hint=hint)
    record = app.journal("restores").read(plan.id).record
    done = {outcome.step: outcome.data for outcome in record.outcomes}
    items = [found for item in plan.items if (found := _undone(app, plan, item, done)) is not None]
    if not items:
        raise DrError(NOT_FOUND, f"{plan.id} changed nothing yet: there is nothing to undo")
    return RestorePlan(f"{plan.id}-undo", now, now, app.strategy.sha256, without_needless(items))


def _undone(app: App, plan: RestorePlan, item: PlannedRestore, done: Mapping[str, Json]) -> PlannedRestore | None:
    prefix = f"{item.source.slug}.{item.domain}."
    mine = {name.removeprefix(prefix): data for name, data in done.items() if name.startswith(prefix)}
    if not is_over_live(item) or SURVEY not in mine:
        return None

    def outline(manifest: PointManifest, target: Target) -> PlannedRestore:
        restorer = app.restorers[manifest.method]
        return restorer.outline(app.spec(item.source), manifest, manifest.as_of, item.domain, target)

    return undo_item(Undone(plan.id, item, mine), lambda name: _point(app, item, name), outline)


def _point(app: App, item: PlannedRestore, name: str) -> ReadPoint:
    return find_point(app.vault(item.source.component), name)
