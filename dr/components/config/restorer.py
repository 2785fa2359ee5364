"""Configuration brought back as of an instant, from the change log or from one pack of it (`ports.Restorer`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dr.changelog import LogReader
from dr.changelog.seal import Sealer
from dr.components.cluster.containing import contain
from dr.components.cluster.erased import STEP as ERASE
from dr.components.cluster.erased import Ledger, Unerased
from dr.components.cluster.scoping import TENANT_LABEL
from dr.components.cluster.tripwire import Tripwire
from dr.components.config.access import ConfigApi
from dr.components.config.applying import Applying
from dr.components.config.deciding import newer
from dr.components.config.evidence import Evidence
from dr.components.config.living import resources_of
from dr.components.config.outlining import Outlining, tenants_labelled
from dr.components.config.reading import cut_short
from dr.components.config.reviewing import review
from dr.components.config.teardown import teardown
from dr.errors import RESTORE_FAILED, DrError
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import Clock, Json, ObjectStore, RestoredItem, RestoreWork, Step, StepContext
from dr.vendors.kubernetes_objects import sequence, text, uid_of

_NEW_CLUSTER = (FailureDomain.CLUSTER, FailureDomain.REGION, FailureDomain.PROJECT)


@dataclass(frozen=True, slots=True)
class ConfigRestorer:
    """`vault` is read when a plan is made; `sealer` None: no key is declared."""

    api: ConfigApi
    sealer: Callable[[], Sealer | None]
    vault: Callable[[], ObjectStore]
    clock: Clock
    method: str
    ledger: Ledger = tuple

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        outlining = Outlining(self.api, self.sealer(), self.vault(), self.method, self.ledger())
        return outlining.outline(spec, origin, requested, domain, target)

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        """A cluster that is restored in the same plan comes first: its daily state is older than what is written here."""
        applying = self._applying(work)
        names, isolated = applying.form.names, work.item.target.isolated
        # in a new cluster a contained copy too needs the kinds that come with the cluster's own restore
        after = ("cluster",) if not isolated or work.item.domain in _NEW_CLUSTER else ()
        contained = [Step("contain", partial(contain, self.api, names, ()), kind=StepKind.PREPARE)] if isolated else []
        rest = [
            Step("newer", partial(self._newer, applying)),
            Step("verify", partial(self._verify, applying), kind=StepKind.CHECK),
        ]
        read = Step("read", applying.read, after=after, kind=StepKind.VERIFY, size=work.item.size)
        erase = Step(ERASE, lambda ctx: self._unerased(applying).run(ctx), kind=StepKind.CHECK)
        return (
            read,
            erase,
            *contained,
            *applying.steps(),
            Step("settle", applying.settle),
            *([] if isolated else rest),
        )

    def _unerased(self, applying: Applying) -> Unerased:
        names, details = applying.form.names, applying.work.item.details
        tenants = tenants_labelled(applying.wanted, text(details, TENANT_LABEL))
        return Unerased(self.ledger, list(names.namespaces), tenants, [str(one) for one in sequence(details, "erased")])

    def _newer(self, applying: Applying, context: StepContext) -> Json:
        """What was made after the instant goes only when a person said so."""
        if not applying.rules.deletes_newer:
            return {"deleted": []}
        kinds = [str(kind) for kind in sequence(applying.work.item.details, "kinds")]
        resources = resources_of(applying.wanted, self.api.served(), kinds)
        deleted, wanted = [], {applying.form.place(key) for key in applying.wanted}
        for resource in resources.values():
            living = applying.living.of(resource)
            for key in newer(wanted, living):
                self.api.delete(resource, key.name, key.namespace, uid=uid_of(living[key]))
                deleted.append(str(key))
        return {"deleted": deleted}

    def _verify(self, applying: Applying, context: StepContext) -> Json:
        """Over living objects nothing else looks at the result. A drill does, in a step of its own."""
        names = (*(step.name for step in applying.steps()), "newer")
        checks = Evidence(applying).checks({name: context.outcome(name) for name in names})
        for check in checks:
            if not check.passed:
                raise DrError(RESTORE_FAILED, f"{check.name}: {check.detail}")
        return {check.name: check.detail for check in checks}

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        return Evidence(self._applying(work)).contents()

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        applying = self._applying(work)
        checks = (*Evidence(applying).checks(outcomes), self._unerased(applying).check())
        if work.manifest is not None:
            return checks
        return (*checks, cut_short(LogReader(work.vault, work.item.source), work.item.instant))

    def review(self, work: RestoreWork) -> Review:
        return review(self._applying(work))

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return teardown(self.api, self._applying(work).form.names, self.clock, outcomes)

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        form = self._applying(work).form
        return Tripwire(self.api, form.names, ()).checks(outcomes.get("contain"))

    def _applying(self, work: RestoreWork) -> Applying:
        return Applying(self.api, self.sealer(), work)
