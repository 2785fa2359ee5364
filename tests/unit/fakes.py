"""Hand-written fakes of the ports, shared by unit tests. They are held to the same contracts as the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from dr.model.ids import Slot, SourceId
from dr.model.plans import PlannedRestore, PointRef, Target
from dr.model.points import Artefact, Check, Coverage, PointManifest
from dr.model.runs import Stamp
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import Inspection, Json, ObjectStore, RestoredItem, RestoreWork, Step

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)
DATABASE = SourceId("appdata", "firestore", "energent-metadata-production")
CLUSTER = SourceId("cluster", "velero", "energent-production")
ALL_DOMAINS = tuple(FailureDomain)


@dataclass
class FakeClock:
    """Time that moves only when told to; sleeping is moving it."""

    wall: datetime = T0
    boot: str = "boot-1"
    ticks: float = 0.0

    def now(self) -> datetime:
        return self.wall

    def stamp(self) -> Stamp:
        return Stamp(self.wall, self.ticks, self.boot)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds


def artefact(name: str = "data/x/1/a", size: int = 3, records: int | None = 1) -> Artefact:
    return Artefact(name, "fake/contents", size, "crc", "a" * 64, 1, records)


def manifest(source: SourceId = DATABASE, as_of: datetime = T0, **changes: object) -> PointManifest:
    base = PointManifest(
        slot=Slot(source, as_of),
        epoch=1,
        method="fake",
        as_of=as_of,
        started=as_of,
        committed=as_of + timedelta(seconds=5),
        artefacts=(artefact(),),
        counts={"items": 1},
        checks=(),
        survives=ALL_DOMAINS,
        retain_until=as_of + timedelta(days=30),
        tool_version="0",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@dataclass
class FakeInspector:
    """Finds what it is told to find."""

    found: Inspection
    method: str = "fake"

    def inspect(self, vault: ObjectStore, artefacts: Sequence[Artefact], details: Json) -> Inspection:
        return self.found


def planned(
    source: SourceId = DATABASE, domain: FailureDomain = FailureDomain.SOURCE, instant: datetime = T0
) -> PlannedRestore:
    return PlannedRestore(
        source=source,
        domain=domain,
        method="fake",
        point=PointRef("points/p.json", 1, "f" * 64),
        instant=instant,
        target=Target(isolated=True, prefix="drill-1-"),
        size=3,
        predicted=None,
        cost_usd=0.0,
        creates=("a copy",),
        reasons=(),
    )


@dataclass
class FakeRestorer:
    """Restores into a dict; everything it says can be set."""

    restored: dict[str, str] = field(default_factory=dict)
    said: tuple[Check, ...] = (Check("counts", True, "1 of 1"),)
    method: str = "fake"
    ran: list[str] = field(default_factory=list)

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        return replace(planned(spec.id, domain), target=target)

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        def create(_: object) -> Json:
            self.ran.append("create")
            return {"created": "copy"}

        return (Step("create", create),)

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        assert outcomes["create"]["created"] == "copy"
        return (RestoredItem(path, sha) for path, sha in self.restored.items())

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return self.said

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return (Check("copy removed", True, "gone"),)


@dataclass
class FakeContext:
    """A step context over a plain dict."""

    outcomes: dict[str, Json] = field(default_factory=dict)
    attempt: int = 1
    clock: FakeClock = field(default_factory=FakeClock)

    def outcome(self, step: str) -> Json:
        return self.outcomes[step]

    def progress(self, done: float, total: float | None, unit: str) -> None:
        pass


def run_all(steps: Sequence[Step]) -> dict[str, Json]:
    """Run steps one after the other, as the engine would, without a journal."""
    context = FakeContext()
    for step in steps:
        context.outcomes[step.name] = step.run(context)
    return context.outcomes
