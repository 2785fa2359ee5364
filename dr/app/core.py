"""The composition root: the only place that wires settings, strategy, clients, clock and stores together."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dr import __version__
from dr.components.wiring import Kit, Wiring
from dr.errors import NOT_FOUND, UNKNOWN_COMPONENT, DrError
from dr.model.ids import SourceId
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, Objective, SourceSpec, Strategy
from dr.plan.survive import survived
from dr.ports import Clock, Inspector, KeyWrapper, Listener, ObjectStore, Restorer, Source
from dr.run.clock import SystemClock
from dr.settings import Settings, load_settings
from dr.stores.opening import open_store

if TYPE_CHECKING:
    from dr.record.journal import Journal
    from dr.run.engine import Engine
    from dr.run.runner import CaptureRunner, Terms
    from dr.vendors.google import GoogleAccess
    from dr.vendors.kubernetes import Kubernetes

Role = Literal["capture", "restore", "prune"]
"""Which identity a command acts as: capture writes and never deletes, restore reads vaults and writes targets, prune deletes
what the retention has let go and does nothing else."""


def silent(_event: object) -> None:
    """A listener for those who want none."""


@dataclass
class App:
    """Everything that a command needs, made when first asked for."""

    settings: Settings
    strategy: Strategy
    role: Role = "capture"
    clock: Clock = field(default_factory=SystemClock)
    listener: Listener = silent
    wrap_store: Callable[[ObjectStore], ObjectStore] = lambda store: store
    """Around every store that is opened: dry runs, faults in tests."""
    table: bytes = b""
    """What the strategy was read from; empty: nothing is kept of it."""
    _preparing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # --- stores

    @cached_property
    def google(self) -> GoogleAccess:
        from dr.vendors.google import GoogleAccess

        credentials = self.settings.credentials
        return GoogleAccess(
            credentials_file=getattr(credentials, self.role),
            storage_endpoint=self.settings.endpoints.storage,
            firestore_endpoint=self.settings.endpoints.firestore,
            pubsub_endpoint=self.settings.endpoints.pubsub,
            kms_endpoint=self.settings.endpoints.kms,
            logging_endpoint=self.settings.endpoints.logging,
            resourcemanager_endpoint=self.settings.endpoints.resourcemanager,
            ca_file=self.settings.ca_file,
        )

    @cached_property
    def kubernetes(self) -> Kubernetes:
        from dr.vendors.kubernetes import Kubernetes

        files = self.settings.kubernetes
        return Kubernetes(getattr(files, self.role))

    def store(self, url: str) -> ObjectStore:
        """Any place, as this role sees it."""
        return self.wrap_store(open_store(url, self.google))

    def place(self, url: str, role: str) -> ObjectStore:
        """A repository: one of a newer format or another role is refused, an empty place is taken as it is."""
        from dr.record.layout import check_format

        store = self.store(url)
        try:
            check_format(store, role)
        except DrError as error:
            if error.kind is not NOT_FOUND:
                raise
        return store

    @cached_property
    def control(self) -> ObjectStore:
        """Raises DrError NEWER_FORMAT, CONFIGURATION (another role), NOT_FOUND, UNREACHABLE."""
        return self.place(self.settings.control, "control")

    @cached_property
    def _vaults(self) -> dict[str, ObjectStore]:
        return {}

    def vault(self, component: str) -> ObjectStore:
        """Raises DrError CONFIGURATION when none is declared, and as `control`."""
        if component not in self._vaults:
            self._vaults[component] = self.place(self.settings.vault(component).url, "vault")
        return self._vaults[component]

    def prepare(self, component: str) -> None:
        """Before the first write of this process: `format.json` in a place that has none yet, and the strategy and the
        settings, without which a laptop could not restore."""
        from dr.record.layout import ensure_format

        for store, role in ((self.control, "control"), (self.vault(component), "vault")):
            with self._preparing:
                if store.url not in self._prepared:
                    ensure_format(store, role)
                    if role == "control":
                        self.keep_table()
                    self._prepared.add(store.url)

    def keep_table(self) -> None:
        """The strategy and the settings of this process, in the control repository."""
        from dr.record.used import keep_used
        from dr.settings.kept import kept_settings

        if self.table:
            keep_used(self.control, self.table, kept_settings(self.settings), self.clock.now(), __version__)

    @cached_property
    def _prepared(self) -> set[str]:
        return set()

    def places(self, rows: Sequence[Objective]) -> Mapping[str, ObjectStore]:
        """The control repository, and the vault of each row that has sources, not looked at yet."""
        vaults = {row.component: self.store(self.settings.vault(row.component).url) for row in rows if row.sources}
        return {"control": self.store(self.settings.control)} | vaults

    @cached_property
    def keys(self) -> tuple[KeyWrapper, ...]:
        """Key encryption keys that the settings declare, primary first."""
        from dr.app.keys import open_keys

        return open_keys(self.settings.keys, self.google)

    # --- components

    @cached_property
    def kits(self) -> Mapping[str, Kit]:
        """Of every component that has a source in the table."""
        from dr.record.erasures import read_erasures

        wiring = Wiring(
            self.settings,
            self.clock,
            self.google,
            lambda: self.kubernetes,
            self.store,
            lambda: self.keys,
            lambda: read_erasures(self.control),
        )
        rows = [row for row in self.strategy.objectives if row.sources]
        return {row.component: _kit(row.component, wiring) for row in rows}

    def source(self, spec: SourceSpec) -> Source:
        return self.kits[spec.id.component].source(spec)

    @cached_property
    def inspectors(self) -> Mapping[str, Inspector]:
        """By method."""
        return {inspector.method: inspector for kit in self.kits.values() for inspector in kit.inspectors}

    @cached_property
    def restorers(self) -> Mapping[str, Restorer]:
        """By method; each verifies its point before it creates anything, and goes over what lives by the safety rule."""
        from dr.app.overlive import guarded
        from dr.run.measured import Verified

        kits = self.kits.values()
        return {r.method: Verified(guarded(self, kit, r), self.inspectors) for kit in kits for r in kit.restorers}

    # --- the table

    def rows(self, components: Sequence[str] = ()) -> tuple[Objective, ...]:
        """The rows asked for, or all. Raises DrError UNKNOWN_COMPONENT."""
        known = [row.component for row in self.strategy.objectives]
        for name in components:
            if name not in known:
                raise DrError(
                    UNKNOWN_COMPONENT, f"the strategy has no component {name!r}", hint=f"it has {', '.join(known)}"
                )
        return tuple(row for row in self.strategy.objectives if not components or row.component in components)

    def specs(self, components: Sequence[str] = ()) -> tuple[SourceSpec, ...]:
        """Sources of the rows asked for."""
        return tuple(spec for row in self.rows(components) for spec in row.sources)

    def spec(self, source: SourceId) -> SourceSpec:
        """Raises DrError UNKNOWN_COMPONENT when the table no longer declares it."""
        for spec in self.strategy.sources():
            if spec.id == source:
                return spec
        raise DrError(UNKNOWN_COMPONENT, f"the strategy declares no source {source}")

    def survives(self, spec: SourceSpec) -> tuple[FailureDomain, ...]:
        """Losses that a point of this source survives in its component's vault."""
        return survived(spec.place, self.settings.vault(spec.id.component).place)

    def coverage(self, spec: SourceSpec) -> tuple[Coverage, ...]:
        """What a change log in the vault covers; nothing for a source that keeps none."""
        covered = self.kits[spec.id.component].coverage
        return covered(spec, self.vault(spec.id.component), self.survives(spec)) if covered else ()

    def terms(self, spec: SourceSpec) -> Terms:
        """What the table asks of a point of this source."""
        from dr.run.runner import Terms

        row = self.strategy.objective(spec.id.component)
        assert row is not None
        return Terms(row.retention, self.survives(spec))

    # --- the record

    def journal(self, base: str = "runs") -> Journal:
        """`runs`, `restores` or `drills`. The latter two are resumed after a failure too."""
        from dr.record.journal import Journal

        return Journal(self.control, self.clock, base, continues=base != "runs")

    @cached_property
    def engine(self) -> Engine:
        from dr.run.engine import Engine

        return Engine(self.clock, self.listener)

    def capture_runner(self, stop: Callable[[], bool] = lambda: False) -> CaptureRunner:
        from dr.run.runner import CaptureRunner

        return CaptureRunner(self.journal(), self.clock, self.engine, self.inspectors, __version__, stop)


def _kit(component: str, wiring: Wiring) -> Kit:
    try:
        module = importlib.import_module(f"dr.components.{component}.kit")
    except ModuleNotFoundError as error:
        if error.name and not error.name.startswith("dr.components"):
            raise
        raise DrError(UNKNOWN_COMPONENT, f"this dr cannot capture the component {component!r}") from None
    kit = module.kit(wiring)
    assert isinstance(kit, Kit)
    return kit


def open_app(
    config: str | None,
    strategy: str | None,
    role: Role,
    listener: Listener = silent,
    environ: Mapping[str, str] | None = None,
) -> App:
    """From files, environment and flags. Raises DrError CONFIGURATION."""
    from dr.strategy import load_table

    settings = load_settings(Path(config) if config else None, environ if environ is not None else os.environ)
    path = Path(strategy) if strategy else settings.strategy
    table, content = load_table(path, settings.cache_dir)
    return App(settings, table, role, listener=listener, table=content)
