"""Fakes for the record and the runners: a clock by hand, a source that stages bytes, an inspector, a restorer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dr.errors import DrError
from dr.model.ids import Slot, SourceId
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Artefact, Check, Coverage, PointManifest
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.ports import (
    Draft,
    Inspection,
    Json,
    ObjectStore,
    RestoredItem,
    RestoreWork,
    SourceFacts,
    Step,
    StepContext,
)
from dr.record.layout import staging
from dr.stores.digest import crc32c

NOON = datetime(2025, 5, 28, 12, tzinfo=UTC)
DATABASE = SourceId("appdata", "fake", "db")
SLOT = Slot(DATABASE, NOON)


class FakeClock:
    """Time passes when somebody says so, or sleeps."""

    def __init__(self, start: datetime = NOON, boot: str = "boot-1") -> None:
        self.time = start
        self.boot = boot
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def stamp(self) -> Stamp:
        return Stamp(self.time, self.time.timestamp(), self.boot)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class FakeSource:
    """Asks an outer world for a snapshot (`world` counts how often) and stages `content` in the vault."""

    world: ObjectStore
    content: Mapping[str, bytes] = field(default_factory=lambda: {"one": b"first", "two": b"second" * 1000})
    id: SourceId = DATABASE
    before_write: Callable[[StepContext], None] = lambda _context: None
    counts: Mapping[str, int] = field(default_factory=lambda: {"documents": 2})

    @property
    def spec(self) -> SourceSpec:
        return SourceSpec(self.id, Place())

    def observe(self) -> SourceFacts:
        return SourceFacts(self.id, NOON)

    def check(self) -> tuple[Check, ...]:
        return ()

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        def choose(context: StepContext) -> Json:
            return {"name": f"snapshot-{slot.id}-{context.attempt}", "as_of": now.timestamp()}

        def request(context: StepContext) -> Json:
            name = str(context.outcome("choose")["name"])
            if self.world.stat(name) is None:
                self.world.put(name, b"snapshot")
            return {}

        def write(context: StepContext) -> Json:
            self.before_write(context)
            written = []
            for name, data in self.content.items():
                stored = vault.put_stream(staging(slot, context.attempt) + name, [data])
                context.progress(len(written), len(self.content), "objects")
                written.append([stored.info.name, stored.info.generation, stored.info.size, stored.info.crc32c])
            return {"written": written}

        return (Step("choose", choose), Step("request", request), Step("write", write))

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        artefacts = tuple(
            Artefact(name, "fake/part", size, crc, "", generation)
            for name, generation, size, crc in outcomes["write"]["written"]  # type: ignore[attr-defined]
        )
        as_of = datetime.fromtimestamp(float(str(outcomes["choose"]["as_of"])), UTC)
        return Draft("fake", as_of, artefacts, self.counts, {"snapshot": outcomes["choose"]["name"]})


class FakeInspector:
    """Reads everything back."""

    method = "fake"

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        found, checks = [], []
        for artefact in artefacts:
            try:
                data = vault.get(artefact.name, generation=artefact.generation)
            except DrError as error:
                if error.temporary:
                    raise
                checks.append(Check(artefact.name, False, error.message))
                continue
            sha = hashlib.sha256(data).hexdigest()
            found.append(Artefact(artefact.name, artefact.role, len(data), crc32c(data), sha, artefact.generation, 1))
        return Inspection(tuple(found), {"documents": len(found)}, tuple(checks))


@dataclass
class FakeRestorer:
    """Puts one object for each step into `world`, under a name derived from the plan."""

    world: ObjectStore
    recipe: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"create": (), "load": ()})
    fail: dict[str, DrError] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    method: str = "fake"

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        raise NotImplementedError

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        return [Step(name, self._step(work, name), after) for name, after in self.recipe.items()]

    def _step(self, work: RestoreWork, name: str) -> Callable[[StepContext], Json]:
        def run(context: StepContext) -> Json:
            if name in self.fail:
                raise self.fail[name]
            self.world.put(f"{work.plan_id}/{work.item.source.component}/{name}/{context.attempt}", b"")
            self.seen.append(f"{work.item.source.component}.{name}")
            return {"siblings": dict(work.siblings)}

        return run

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return iter(())

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return ()
