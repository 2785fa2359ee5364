"""A subscription as a source: observed, checked, and its log rolled into packs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from dr.changelog.entries import read_segments
from dr.changelog.frames import decompressing, lines
from dr.changelog.packs import WRITE, Packing
from dr.components.audit.access import PACK, QUARANTINED, PubsubApi, PubsubOptions, living
from dr.components.audit.checking import permission_check, sink_check, subscription_checks
from dr.components.audit.entry import quarantined
from dr.components.audit.follower import AuditFollower
from dr.errors import DAMAGED, NOT_AUTHORISED, DrError
from dr.model.ids import Slot
from dr.model.points import Artefact, Check
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.permissions import CONSUME, READ_SINK
from dr.ports import Clock, Draft, Json, ObjectStore, SourceFacts, Step, StepContext
from dr.vendors.sinks import Sink

CATCH_UP, COLLECT = "catch-up", "quarantine"
ROLE = "audit/quarantined"


class SinkApi(Protocol):
    """As `dr.vendors.sinks.Sinks`."""

    def sink(self, project: str, name: str) -> Sink | None: ...


@dataclass(frozen=True, slots=True)
class AuditSource:
    """`ports.Source` of kind `pubsub`."""

    spec: SourceSpec
    api: PubsubApi
    sinks: SinkApi
    clock: Clock

    @property
    def options(self) -> PubsubOptions:
        return PubsubOptions.of(self.spec)

    def observe(self) -> SourceFacts:
        """What the log covers is told by the vault, not by the subscription."""
        found, now = living(self.api, self.options), self.clock.now()
        details = {"subscription": found.name, "topic": found.topic, "retention_s": found.retention.total_seconds()}
        return SourceFacts(self.spec.id, now, cost_arithmetic="no charge for reading", details=details)

    def check(self) -> tuple[Check, ...]:
        options = self.options
        title = f"subscription {options.subscription}"
        try:
            found = living(self.api, options)
            missing = self.api.missing_permissions(options.path, CONSUME)
        except DrError as error:
            return (Check(title, False, error.message),)
        return (
            Check(title, True, found.name),
            permission_check(missing),
            *subscription_checks(found, options),
            *self._sink(options),
        )

    def _sink(self, options: PubsubOptions) -> tuple[Check, ...]:
        """Whether the sink still sends what it must: who may not read it cannot know."""
        if not options.sink:
            return ()
        try:
            return (sink_check(options.sink, self.sinks.sink(options.project, options.sink), options),)
        except DrError as error:
            missing = f"missing: {READ_SINK}: " if error.kind is NOT_AUTHORISED else ""
            return (Check(f"sink {options.sink}", False, f"{missing}{error.message}"),)

    # --- packs

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        return (
            Step(CATCH_UP, partial(self._catch_up, vault)),
            *Packing(self.spec.id, PACK).steps(slot, vault),
            Step(COLLECT, partial(_collect, vault)),
        )

    def _catch_up(self, vault: ObjectStore, context: StepContext) -> Json:
        def stop() -> bool:
            context.progress(0, None, "entries")
            return False

        watermark = AuditFollower(self.spec, self.api, self.clock).catch_up(vault, stop)
        return {"watermark": format_instant(watermark)}

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        """Quarantined messages are artefacts too: so they are locked and kept as long as the entries around them."""
        draft = Packing(self.spec.id, PACK).draft(outcomes)
        kept = outcomes[COLLECT]["objects"]
        assert isinstance(kept, Sequence)
        artefacts = (*draft.artefacts, *map(_artefact, kept))
        return replace(draft, artefacts=artefacts, counts={**draft.counts, QUARANTINED: len(kept)})


def _collect(vault: ObjectStore, context: StepContext) -> Json:
    name = str(context.outcome(WRITE)["name"])
    where = f"{vault.url}/{name}"
    found: dict[str, Json] = {}
    for _, body in read_segments(lines(decompressing(vault.stream(name), where)), where):
        for line in body:
            if told := quarantined(where, line):
                found.setdefault(str(told["object"]), _stored(vault, str(told["object"])))
        context.progress(len(found), None, "messages")
    return {"objects": list(found.values())}


def _stored(vault: ObjectStore, name: str) -> Json:
    info = vault.stat(name)
    if info is None:
        raise DrError(DAMAGED, f"{vault.url}/{name} is missing: the log says that it was put there")
    return {"name": name, "size": info.size, "crc32c": info.crc32c, "generation": info.generation}


def _artefact(kept: Mapping[str, object]) -> Artefact:
    return Artefact(
        str(kept["name"]), ROLE, int(str(kept["size"])), str(kept["crc32c"]), "", int(str(kept["generation"]))
    )
