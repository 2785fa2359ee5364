"""A cluster's configuration as a source (`ports.Source`, kind `kubernetes`): looked at, checked, packed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dr.components.config.access import SECRETS, ConfigOptions
from dr.components.config.following import ConfigFollower
from dr.components.config.packing import ConfigPacking
from dr.components.config.session import no_key
from dr.errors import DrError
from dr.model.ids import Slot
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.permissions import rights_of, source_rules
from dr.ports import Draft, Json, ObjectStore, SourceFacts, Step, StepContext
from dr.vendors.kubernetes_objects import NAMESPACES, Resource, name_of

_ASKERS = 8
CATCH_UP = "catch-up"


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The one who follows is the one who is asked to catch up before a pack."""

    follower: ConfigFollower

    @property
    def spec(self) -> SourceSpec:
        return self.follower.spec

    @property
    def options(self) -> ConfigOptions:
        return ConfigOptions.read(self.spec)

    def observe(self) -> SourceFacts:
        """The namespaces and kinds that are followed now."""
        served = self.follower.api.served()
        details: Json = {
            "namespaces": list(self.namespaces()),
            "kinds": [kind for kind in self.options.wanted if kind in served],
            "not_served": [kind for kind in self.options.wanted if kind not in served],
        }
        return SourceFacts(self.spec.id, self.follower.clock.now(), details=details)

    def namespaces(self) -> tuple[str, ...]:
        """Chosen by name or label, as they are now."""
        found = self.follower.api.list(NAMESPACES, metadata_only=True).items
        return tuple(sorted(name_of(one) for one in found if self.options.chooses(one)))

    # --- dr check

    def check(self) -> tuple[Check, ...]:
        return (*self._namespaces(), *self._kinds(), *self._keys())

    def _namespaces(self) -> Iterator[Check]:
        try:
            found = self.namespaces()
        except DrError as error:  # what else is missing is still looked at
            yield Check(f"namespaces of {self.spec.id}", False, error.message)
            return
        missing = sorted(set(self.options.namespaces) - set(found))
        words = f"missing: {', '.join(missing)}" if missing else f"{len(found)} followed"
        yield Check(f"namespaces of {self.spec.id}", not missing and bool(found), words)

    def _kinds(self) -> Iterator[Check]:
        options, served = self.options, self.follower.api.served()
        absent = [kind for kind in options.wanted if kind not in served]
        fatal = [kind for kind in absent if kind in options.custom]
        words = (
            f"not served, so not captured: {', '.join(absent)}" if absent else f"all {len(options.wanted)} are served"
        )
        yield Check(f"kinds of {self.spec.id}", not fatal, words)
        yield self._rights(served)

    def _rights(self, served: Mapping[str, Resource]) -> Check:
        """All that the shipped role gives, for what the cluster serves."""
        asked = [right for right in rights_of(source_rules(self.spec)) if right.resource in served]
        with ThreadPoolExecutor(_ASKERS, thread_name_prefix="config-check") as pool:
            held = pool.map(lambda right: self.follower.api.allowed(right.verb, served[right.resource]), asked)
            missing = [str(right) for right, allowed in zip(asked, held, strict=True) if not allowed]
        words = f"not allowed: {', '.join(missing)}" if missing else f"{len(asked)} permissions held"
        return Check(f"rbac of {self.spec.id}", not missing, words)

    def _keys(self) -> Iterator[Check]:
        """That Secrets can be sealed now, by sealing something."""
        if SECRETS not in self.options.wanted:
            return
        sealer, title = self.follower.sealer, f"keys that seal Secrets of {self.spec.id}"
        try:
            if sealer is None:
                raise no_key(self.spec.id)
            sealer.seal(b"dr check", b"dr check")
        except DrError as error:
            yield Check(title, False, error.message)
        else:
            yield Check(title, True, "a data key was wrapped")

    # --- packs

    def capture(self, slot: Slot, vault: ObjectStore, now: datetime) -> Sequence[Step]:
        packing = ConfigPacking(self.spec.id)
        return (Step(CATCH_UP, partial(self._catch_up, vault)), *packing.steps(slot, vault))

    def _catch_up(self, vault: ObjectStore, context: StepContext) -> Json:
        def stop() -> bool:
            context.progress(0, None, "waiting")  # renews the claim; raises when the slot was taken over
            return False

        return {"watermark": format_instant(self.follower.catch_up(vault, stop))}

    def draft(self, outcomes: Mapping[str, Json]) -> Draft:
        return ConfigPacking(self.spec.id).draft(outcomes)
