"""A vault with points that grow old, on a clock by hand; and a prune over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dr.model.ids import Slot, SourceId
from dr.model.points import Artefact, PointManifest
from dr.model.retention import HoldKind, HoldRecord
from dr.model.runs import RunState
from dr.model.strategy import FailureDomain
from dr.plan.retain import Rule
from dr.ports import ObjectInfo, ObjectStore
from dr.record.codec import encode, sha256
from dr.record.holds import active_holds, new_hold, place
from dr.record.journal import Journal
from dr.record.layout import staging
from dr.record.summary import metadata_of
from dr.run.condemning import Terms
from dr.run.prune import Options, Pruner, PruneResult
from dr.run.runner import retain
from dr.stores.memory import MemoryStore
from tests.unit.fakes import DATABASE, FakeClock

DAY = timedelta(days=1)


@dataclass
class World:
    """One component. The clock of the stores is the clock of all."""

    clock: FakeClock = field(default_factory=FakeClock)
    rule: Rule = field(default_factory=lambda: Rule(30 * DAY))
    rules: dict[SourceId, Rule] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()
    wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store

    def __post_init__(self) -> None:
        self.control: ObjectStore = MemoryStore("control", now=self.clock.now)
        self.vault: ObjectStore = MemoryStore("vault", now=self.clock.now)
        self.rules = self.rules or {DATABASE: self.rule}

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def pass_(self, span: timedelta) -> None:
        self.clock.advance(span.total_seconds())

    def journal(self) -> Journal:
        return Journal(self.control, self.clock, "runs")

    def capture(
        self,
        source: SourceId = DATABASE,
        *,
        tag: str = "",
        method: str = "fake",
        parents: tuple[str, ...] = (),
        details: Mapping[str, object] | None = None,
        content: Mapping[str, bytes] | None = None,
        locked: bool = True,
        journaled: bool = True,
    ) -> PointManifest:
        """Staged, locked, committed, as a capture does it; the journal says so too."""
        slot = Slot(source, self.now, tag)
        hold = self.journal().claim(slot.id) if journaled else None
        content = content or {"one": b"first", "two": b"second"}
        artefacts = tuple(self._stage(slot, 1, name, data) for name, data in content.items())
        until = self.now + self.rules.get(source, self.rule).retention
        manifest = PointManifest(
            slot=slot,
            epoch=1,
            method=method,
            as_of=self.now,
            started=self.now,
            committed=self.now,
            artefacts=artefacts,
            counts={},
            checks=(),
            survives=tuple(FailureDomain),
            retain_until=until,
            tool_version="0",
            parents=parents,
            details=details or {},
        )
        for artefact in artefacts if locked else ():
            retain(self.vault, artefact.name, artefact.generation, until)
        info = self.vault.put(manifest.name, encode(manifest), metadata=metadata_of(manifest))
        if locked:
            retain(self.vault, manifest.name, info.generation, until)
        if hold:
            hold.end(RunState.COMMITTED, "", point=manifest.name)
        return manifest

    def _stage(self, slot: Slot, attempt: int, name: str, data: bytes) -> Artefact:
        info = self.vault.put(staging(slot, attempt) + name, data)
        return Artefact(info.name, "fake/part", info.size, info.crc32c, sha256(data), info.generation)

    def fail(self, source: SourceId = DATABASE, *, end: bool = True, tag: str = "") -> str:
        """A run that staged something and died; the prefix of its data."""
        slot = Slot(source, self.now, tag)
        hold = self.journal().claim(slot.id)
        self._stage(slot, hold.attempt, "half", b"half")
        if end:
            hold.end(RunState.FAILED, "it broke", error_code="backup-failed")
        return staging(slot, hold.attempt)

    def hold(self, point: PointManifest, until: datetime | None = None) -> HoldRecord:
        record = new_hold(HoldKind.HOLD, point.name, self.now, "alice", "lawsuit", until)
        place(self.control, record)
        return record

    def daily(self, days: int, hook: Callable[[int], object] = lambda _: None) -> list[PointManifest]:
        """A point a day."""
        points = []
        for day in range(days):
            hook(day)
            points.append(self.capture())
            self.pass_(DAY)
        return points

    def prune(self, options: Options | None = None, **stores: ObjectStore) -> PruneResult:
        control, vault = stores.get("control", self.control), stores.get("vault", self.vault)
        pruner = Pruner(
            control, vault, replace(self.journal(), store=control), self.clock, "pruner", options or Options()
        )
        row = self.rules.get(DATABASE)
        holds = active_holds(self.control, self.now)
        return pruner.run(Terms("appdata", self.rules, row.retention if row else None, holds, self.proven))

    def manifests(self) -> list[str]:
        return [info.name for info in self.vault.list("points/")]

    def objects(self, prefix: str = "") -> list[ObjectInfo]:
        return list(self.vault.list(prefix))

    def whole(self) -> None:
        """I2: whoever sees a manifest can restore from it; and nothing lies about that belongs to none."""
        from dr.record.catalogue import find_point

        expected = set()
        for name in self.manifests():
            manifest = find_point(self.vault, name).manifest
            for artefact in manifest.artefacts:
                info = self.vault.stat(artefact.name)
                assert info is not None, f"{name} lost {artefact.name}"
                assert info.generation == artefact.generation
            for parent in manifest.parents:
                assert parent in self.manifests(), f"{name} lost its parent {parent}"
            expected |= {artefact.name for artefact in manifest.artefacts}
        assert {info.name for info in self.objects("data/")} >= expected

    def orphans(self) -> set[str]:
        """Staged objects that no manifest names."""
        from dr.record.catalogue import find_point

        named = {a.name for name in self.manifests() for a in find_point(self.vault, name).manifest.artefacts}
        return {info.name for info in self.objects("data/")} - named


def names(points: Sequence[PointManifest]) -> list[str]:
    return [point.name for point in points]
