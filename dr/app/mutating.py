"""The drill, drilled: faults planted in copies of the recovery points, and each copy given to an unmodified drill."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property, partial
from pathlib import Path
from random import Random

from dr import __version__
from dr.app.core import App
from dr.app.drills import run_drill
from dr.app.mutated_points import EMPTY_LIST, POINT_FAULTS
from dr.app.restores import planner
from dr.components.planting import Forgery, Subject, Unsuitable
from dr.errors import CONFIGURATION, NOT_FOUND, OVER_BUDGET, USAGE, DrError
from dr.model.drills import RowKey, Scenario
from dr.model.evidence import DrillReport
from dr.model.mutations import Campaign, Edit, Fault, MutationReport, Trial
from dr.model.plans import PlannedRestore, Target
from dr.model.points import PointManifest
from dr.model.strategy import FailureDomain, SourceSpec, Strategy
from dr.model.timeline import compact_instant
from dr.plan.modes import MODES
from dr.plan.mutations import (
    byte_faults,
    caught,
    chosen_faults,
    is_byte_fault,
    named,
    said_of,
    sound,
    spoilt,
    verdict_of,
)
from dr.ports import ObjectStore
from dr.record.catalogue import find_point, list_points, load_pinned
from dr.run.mutating import CampaignRecord, bounded, forged, left_of
from dr.run.planning import Want
from dr.stores.overlay import Overlay

DOMAIN = FailureDomain.SOURCE
"""What a vault alone must answer: a living history is no recovery point, and nothing is planted in it."""
_IMPORTED = ("firestore",)
"""Kinds whose restore another service reads from a bucket, where no copy of ours can be in between."""
_ELSEWHERE = (OVER_BUDGET, USAGE, CONFIGURATION)
"""What a drill refuses for reasons that are no matter of the copy."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a campaign."""

    components: tuple[str, ...] = ()
    faults: int | None = None
    """None: all there are."""
    seed: int = 0
    clean: int = 1
    witness: Path | None = None
    """For the rows whose living source cannot tell what it held."""
    scratch: str = ""
    """`gs://` place that Firestore may read and the restore identity may write: copies of exports are imported from there."""
    max_cost_usd: float | None = None
    only: tuple[str, ...] = ()
    """Faults by id; empty: as chosen by seed."""


@dataclass
class Mutating:
    """One campaign at work. `each` hears of every trial that was made."""

    app: App
    wish: Wish
    each: Callable[[Trial], None] = lambda trial: None
    stop: Callable[[], bool] = lambda: False
    _subjects: dict[str, Subject] = field(default_factory=dict)

    @cached_property
    def record(self) -> CampaignRecord:
        return CampaignRecord(self.app.control)

    # --- the campaign

    def begin(self) -> Campaign:
        """Choose, refuse what would cost too much, commit. Raises DrError USAGE, NOT_FOUND, OVER_BUDGET."""
        now, components = self.app.clock.now(), self._components()
        known = [fault for name in components for fault in self.faults(name)]
        faults = chosen_faults(known, self.wish.faults, self.wish.seed)
        if self.wish.only:
            faults = tuple(fault for fault in known if fault.id in self.wish.only)
        if missing := set(self.wish.only) - {fault.id for fault in known}:
            raise DrError(USAGE, f"there is no fault {min(missing)!r} for these points")
        campaign = Campaign(
            f"{compact_instant(now.replace(microsecond=0))}-{secrets.token_hex(2)}",
            self.wish.seed,
            now,
            components,
            tuple(fault.id for fault in faults),
            self.wish.clean,
            __version__,
        )
        self._refuse_cost(campaign)
        self.record.begin(campaign)
        return campaign

    def again(self, campaign: str) -> Campaign:
        """By id, or `newest`. Raises DrError NOT_FOUND, DAMAGED."""
        return self.record.newest() if campaign == "newest" else self.record.load(campaign)

    def run(self, campaign: Campaign) -> MutationReport:
        """Make the trials that were not made yet. Raises DrError of what is no matter of a fault: UNREACHABLE, LOCKED..."""
        known = {fault.id: fault for name in campaign.components for fault in self.faults(name)}
        for trial_id in left_of(self.record.report(campaign)):
            if self.stop():
                break
            trial = self._clean(trial_id) if trial_id.startswith("clean-") else self._try(trial_id, known, campaign)
            self.record.keep(campaign, trial)
            self.each(trial)
        return self.record.report(campaign)

    def _components(self) -> tuple[str, ...]:
        return tuple(row.component for row in self.app.rows(self.wish.components) if row.sources)

    def _refuse_cost(self, campaign: Campaign) -> None:
        """Each trial is a drill: what one costs, times their number."""
        total = 0.0
        for name in campaign.components:
            count = campaign.clean + sum(fault.startswith(f"{name}.") for fault in campaign.faults)
            total += count * self._planned(self.subject(name).spec).cost_usd
        if self.wish.max_cost_usd is not None and total > self.wish.max_cost_usd:
            words = f"{len(campaign.faults)} faults are estimated at {total:.2f} $, above --max-cost"
            raise DrError(OVER_BUDGET, f"{words} {self.wish.max_cost_usd:.2f} $", hint="try fewer: --faults N")

    # --- what there is to be spoilt

    def faults(self, component: str) -> tuple[Fault, ...]:
        """Everything that could be tried on this row."""
        subject, module = self.subject(component), _module(component)
        forgeries = [Fault(component, one.name, one.what, one.forged) for one in self._forgeries(component).values()]
        return (*byte_faults(component, sorted(module.parts(subject))), *forgeries)

    def _forgeries(self, component: str) -> Mapping[str, Forgery]:
        subject = self.subject(component)
        own: Sequence[Forgery] = _module(component).forgeries(subject)
        return {one.name: one for one in (*own, *(POINT_FAULTS if subject.manifest else ()), EMPTY_LIST)}

    def subject(self, component: str) -> Subject:
        """What a drill of the row's first source would restore now. Raises DrError NOT_FOUND when it could not."""
        if component not in self._subjects:
            spec = self.app.rows((component,))[0].sources[0]
            self._subjects[component] = self._look(spec)
        return self._subjects[component]

    def _look(self, spec: SourceSpec) -> Subject:
        vault, planned = self.app.vault(spec.id.component), self._planned(spec)
        manifest = load_pinned(vault, planned.point) if planned.point else None
        older = self._before(vault, manifest) if manifest else None
        unchanged = self._unchanged(spec, manifest)
        recall = partial(self._recalled, spec)
        return Subject(spec, vault, manifest, older, self.app.clock.now(), lambda: self.app.keys, unchanged, recall)

    def _unchanged(self, spec: SourceSpec, point: PointManifest | None) -> Callable[[str], bool]:
        witness = self.app.kits[spec.id.component].witness
        if point is None or witness is None:
            return lambda _path: True

        @cache
        def paths() -> frozenset[str]:
            living = witness.read(spec, self.app.clock.now())
            return frozenset(one.path for one in living if one.updated is not None and one.updated <= point.as_of)

        return lambda path: path in paths()

    def _recalled(self, spec: SourceSpec, path: str, at: datetime) -> bool:
        memory = self.app.kits[spec.id.component].memory
        return memory is not None and memory.recall(spec, [path], at) is not None

    def _planned(self, spec: SourceSpec) -> PlannedRestore:
        now, target = self.app.clock.now(), Target(isolated=True, prefix="mutation-")
        plan = planner(self.app).plan("mutation", now, [Want(spec, DOMAIN, target)], now)
        if not plan.items:
            raise DrError(NOT_FOUND, f"{spec.id}: there is nothing to plant a fault in: {plan.gaps[0].reason}")
        return plan.items[0]

    def _before(self, vault: ObjectStore, point: PointManifest) -> PointManifest | None:
        names = [one.name for one in list_points(vault) if one.source == point.source and one.as_of < point.as_of]
        return find_point(vault, names[-1]).manifest if names else None

    # --- one trial

    def _try(self, trial_id: str, known: Mapping[str, Fault], campaign: Campaign) -> Trial:
        fault = known.get(trial_id)
        if fault is None:
            component, _, name = trial_id.partition(".")
            return _unplanted(Fault(component, name, "not planted"), "these points, or this dr, offer no such fault")
        try:
            edit = self.plant(fault, campaign.seed)
        except Unsuitable as why:
            return _unplanted(fault, str(why))
        return self._drilled(fault.id, fault, edit)

    def plant(self, fault: Fault, seed: int) -> Edit:
        """Raises Unsuitable, DrError."""
        subject, rng = self.subject(fault.component), Random(f"{seed} {fault.id}")
        if is_byte_fault(fault):
            return self._spoilt(fault, subject)
        forgery = self._forgeries(fault.component)[fault.name]
        edit = forgery.plant(subject, rng)
        if forgery.follows and subject.manifest:
            inspector = self.app.inspectors[subject.manifest.method]
            edit, _ = forged(subject.manifest, edit, partial(_copy, subject.vault), inspector)
        return edit

    def _spoilt(self, fault: Fault, subject: Subject) -> Edit:
        parts = _module(fault.component).parts(subject)
        short = {role.rpartition("/")[2]: name for role, name in parts.items()}
        name = short[fault.name.partition(".")[2]]
        was = subject.read(name)
        now = spoilt(fault.name, was) if was else was
        if now == was:
            raise Unsuitable(f"{name} is as it was after that")
        return Edit({name: now}, (name,))

    def _clean(self, trial_id: str) -> Trial:
        component = trial_id.split("-")[1]
        return self._drilled(trial_id, Fault(component, trial_id, "nothing was planted"), None)

    def _drilled(self, trial_id: str, fault: Fault, edit: Edit | None) -> Trial:
        """An unmodified drill over the copy; a clean one over a copy that is the same."""
        begun = self.app.clock.stamp()
        copied = Copied(self.app, self.subject(fault.component).spec, edit or Edit({}, ()), self.wish.scratch)
        report, error = copied.drill(self.wish.witness)
        copied.sweep()
        name, hit = fault.component, edit.hit if edit else ()
        said = said_of(report, name) if report else (error,)
        good = _good(report, name, edit, said)
        seconds = self.app.clock.stamp().seconds_since(begun)
        point = self.subject(name).manifest
        return Trial(
            trial_id,
            name,
            fault.what,
            fault.forged,
            point.name if point else "log",
            hit[:5],
            good,
            verdict_of(report, name) if report else "refused",
            bounded((*said, *(_untidy(report) if report else ()))),
            report.id if report else "",
            round(seconds, 3),
        )


def _good(report: DrillReport | None, component: str, edit: Edit | None, said: Sequence[str]) -> bool:
    if edit is None:
        return report is not None and sound(report, component)
    return caught(report, component, edit) if report else named(said, edit.hit)


def _untidy(report: DrillReport) -> Iterator[str]:
    return (f"{check.name}: {check.detail}" for check in report.teardown if not check.passed)


def _unplanted(fault: Fault, why: str) -> Trial:
    return Trial(fault.id, fault.component, fault.what, fault.forged, "", (), True, "", (why,), "", 0.0, planted=False)


@dataclass(frozen=True)
class Copied:
    """The same app over a copy: the vault as it was spoilt, and a control repository that keeps nothing."""

    app: App
    spec: SourceSpec
    edit: Edit
    scratch: str

    def drill(self, witness: Path | None) -> tuple[DrillReport | None, str]:
        """The report; or the sentence with which the drill refused."""
        component = self.spec.id.component
        scenario = Scenario(f"mutation-{component}", "Does a drill notice?", (RowKey(component, DOMAIN),))
        mode = MODES.get(self.spec.id.kind)
        # the living log of entries is asked for what is old enough only: a record knows all
        record = witness if mode is None or mode.only_added or not mode.witnesses(self.spec) else None
        try:
            return run_drill(self._app(), scenario, witness=record).report, ""
        except DrError as error:
            if error.temporary or error.kind in _ELSEWHERE:
                raise
            return None, error.message

    def _app(self) -> App:
        app = self.app
        copy = App(app.settings, self._strategy(), app.role, app.clock, app.listener, self._wrapped)
        copy.__dict__["google"] = app.google  # connections, not state
        return copy

    def _strategy(self) -> Strategy:
        """The same, but that an export is imported from the copy."""
        if not self._place:
            return self.app.strategy
        rows = tuple(
            replace(row, sources=tuple(map(self._staged, row.sources))) for row in self.app.strategy.objectives
        )
        return replace(self.app.strategy, objectives=rows)

    def _staged(self, spec: SourceSpec) -> SourceSpec:
        if spec.id != self.spec.id:
            return spec
        return replace(spec, options={**spec.options, "staging": self._place})

    @cached_property
    def _place(self) -> str:
        """Of this copy alone, in the scratch place; empty for what is not imported from there."""
        if self.spec.id.kind not in _IMPORTED:
            return ""
        scratch = self.scratch or str(self.spec.options.get("staging", ""))
        if not scratch.startswith("gs://"):
            words = f"copies of {self.spec.id} are imported from Cloud Storage"
            raise DrError(USAGE, words, hint="name a place for them: --scratch gs://BUCKET/PREFIX")
        return f"{scratch.rstrip('/')}/mutation-{secrets.token_hex(4)}"

    def _wrapped(self, store: ObjectStore) -> ObjectStore:
        settings, seen = self.app.settings, self.app.wrap_store(store)
        if store.url == settings.control.rstrip("/"):
            return Overlay(seen, writable=True)
        if store.url == settings.vault(self.spec.id.component).url.rstrip("/"):
            return _copy(seen, self.edit)
        return seen

    def sweep(self) -> None:
        """What a drill staged in the scratch place goes. Raises DrError."""
        if self._place:
            place = self.app.store(self._place)
            for info in list(place.list()):
                place.delete(info.name, generation=info.generation)


def _copy(vault: ObjectStore, edit: Edit) -> Overlay:
    return Overlay(vault, edit.files, edit.metadata, edit.emptied)


def _module(component: str) -> Planter:
    """What a component offers to be planted. Raises DrError USAGE for one that offers nothing."""
    try:
        module = importlib.import_module(f"dr.components.{component}.mutating")
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("dr.components"):
            raise
        raise DrError(USAGE, f"nothing can be planted in the component {component!r} yet") from None
    return Planter(module.parts, module.forgeries)


@dataclass(frozen=True, slots=True)
class Planter:
    """`dr/components/<component>/mutating.py`."""

    parts: Callable[[Subject], Mapping[str, str]]
    """Role -> one object of the vault that a drill reads."""
    forgeries: Callable[[Subject], Sequence[Forgery]]
