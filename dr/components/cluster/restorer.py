"""A cluster brought back by Velero, into a contained copy or for good: the same steps with another target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from dr.components.cluster.access import Cutover, Velero
from dr.components.cluster.comparing import compare, contents
from dr.components.cluster.containing import contain
from dr.components.cluster.erased import STEP as ERASE
from dr.components.cluster.erased import Ledger, Unerased
from dr.components.cluster.layout import METHOD
from dr.components.cluster.names import names_of
from dr.components.cluster.outlining import has_native, outline, tenants_of
from dr.components.cluster.probing import Probing
from dr.components.cluster.releasing import Releasing
from dr.components.cluster.restoring import Restoring, warned
from dr.components.cluster.reviewing import ClusterReview
from dr.components.cluster.staging import Staging
from dr.components.cluster.teardown import Teardown
from dr.components.cluster.tripwire import Tripwire
from dr.components.cluster.witnessed import Copy
from dr.errors import NOT_FOUND, DrError
from dr.model.evidence import TRIPWIRE
from dr.model.graph import StepKind
from dr.model.plans import PlannedRestore, Target
from dr.model.points import Check, Coverage, PointManifest
from dr.model.review import Review
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import Clock, Json, RestoredItem, RestoreWork, Step
from dr.vendors.kubernetes_objects import mapping, sequence, text

_HEALTHY_S = 900.0
"""How long the application may take to say that it works; image pulls included."""
_DATABASE = "appdata.database"


@dataclass(frozen=True, slots=True)
class VeleroRestorer:
    """`ports.Restorer` of method `velero`."""

    velero: Velero
    clock: Clock
    healthy_s: float = _HEALTHY_S
    ledger: Ledger = tuple
    database_at: str = ""
    """Where restored databases are served, as an address and port, when it is no public name: a contained application reaches it."""

    @property
    def method(self) -> str:
        return METHOD

    def outline(
        self,
        spec: SourceSpec,
        origin: PointManifest | Coverage,
        requested: datetime,
        domain: FailureDomain,
        target: Target,
    ) -> PlannedRestore:
        if not isinstance(origin, PointManifest):
            raise DrError(NOT_FOUND, f"{spec.id} has no living history; it is restored from recovery points")
        return outline(self.velero.kube, spec, origin, domain, target, self.database_at, self.ledger())

    def steps(self, work: RestoreWork) -> Sequence[Step]:
        names, staging, restoring = names_of(work), self._staging(work), self._restoring(work)
        allowed = [str(cidr) for cidr in sequence(work.item.details, "allowEgress")]
        contain_all = Step("contain", partial(contain, self.velero.kube, names, allowed), kind=StepKind.PREPARE)
        contained, size = [contain_all, *self._probe(work)] if names.isolated else [], work.item.size
        releasing = self._releasing(work)
        inert = [Step("inert", restoring.prove_inert)] if names.isolated else []
        return (
            *contained,
            # copies go into Velero's bucket, where nothing acts on them: the namespaces need not be contained yet
            Step("stage", staging.stage, kind=StepKind.COPY, size=size, beside=names.isolated),
            Step("import-backup", staging.import_backup, kind=StepKind.PREPARE),
            Step(ERASE, self._unerased(work).run, kind=StepKind.CHECK),
            Step("restore", restoring.request),
            Step("follow", restoring.follow, kind=StepKind.WAIT, size=size),
            *inert,
            Step("note", releasing.note),
            Step("rewire", releasing.rewire, after=("appdata",) if _DATABASE in work.siblings else ()),
            Step("release", releasing.release, kind=StepKind.SERVE),
        )

    def _unerased(self, work: RestoreWork) -> Unerased:
        names, tenants = names_of(work), tenants_of(_manifest(work))
        return Unerased(self.ledger, list(names.namespaces), tenants, sorted(names.erased))

    def _probe(self, work: RestoreWork) -> Sequence[Step]:
        """Nothing is restored into a namespace that a probe gets out of."""
        probe = mapping(work.item.details, "probe")
        if not probe:
            return ()
        endpoints = [str(place) for place in sequence(probe, "endpoints")]
        probing = Probing(self.velero.kube, names_of(work), text(probe, "image"), endpoints)
        return (Step("probe", probing.run, kind=StepKind.VERIFY),)

    def reached(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        staged = outcomes.get("stage", {})
        tripwire = Tripwire(
            self.velero.kube,
            names_of(work),
            [str(place) for place in sequence(work.item.details, "allowEgress")],
            sequence(staged, "replaced"),
            sequence(staged, "kinds"),
            text(outcomes.get("restore", {}), "restore"),
        )
        return (*tripwire.checks(outcomes.get("contain")), *self._probed(outcomes))

    def _probed(self, outcomes: Mapping[str, Json]) -> Sequence[Check]:
        probe = outcomes.get("probe")
        if "contain" not in outcomes or probe is None:
            return ()
        tried = ", ".join(str(place) for place in sequence(probe, "tried"))
        return (Check(f"{TRIPWIRE}egress probe", True, f"{tried} not reached from {text(probe, 'namespace')}"),)

    def _staging(self, work: RestoreWork) -> Staging:
        external = tuple(str(name) for name in sequence(work.item.details, "replaceSecrets"))
        return Staging(self.velero, names_of(work), work.vault, _manifest(work), external)

    def _restoring(self, work: RestoreWork) -> Restoring:
        seconds = mapping(work.item.details).get("deadline_s")
        deadline = timedelta(seconds=float(seconds) if isinstance(seconds, int | float) else 7200)
        native, over = has_native(_manifest(work).details), work.item.target.protected == work.item.source.name
        return Restoring(self.velero, names_of(work), native, over, deadline)

    def _releasing(self, work: RestoreWork) -> Releasing:
        names, cutover = names_of(work), Cutover.read(work.item.details)
        if cutover and names.partial and cutover.namespace not in names.namespaces:
            cutover = None  # the application is not in the part that is restored
        database = work.siblings.get(_DATABASE, "")
        return Releasing(self.velero.kube, names, cutover, database, self.healthy_s)

    def contents(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> Iterator[RestoredItem]:
        kube, names = self.velero.kube, names_of(work)
        staged = sequence(outcomes.get("stage", {}), "replaced")
        replaced = frozenset(f"{text(one, 'namespace')}/{text(one, 'name')}" for one in staged)
        yield from contents(kube, names, outcomes.get("rewire", {}))
        yield from Copy(kube, names, _manifest(work), work.vault, replaced).contents()

    def checks(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        manifest = _manifest(work)
        compared = compare(self.velero.kube, names_of(work), manifest, work.vault, has_native(manifest.details))
        good, said = self._releasing(work).health()
        return (
            *compared,
            Check("velero restore", True, warned(outcomes.get("follow", {}))),
            Check("application health", good, said),
            self._unerased(work).check(),
        )

    def review(self, work: RestoreWork) -> Review:
        manifest = _manifest(work)
        native, over = has_native(manifest.details), work.item.target.protected == work.item.source.name
        return ClusterReview(self.velero.kube, names_of(work), manifest, work.vault, native, over).review()

    def teardown(self, work: RestoreWork, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
        return Teardown(self.velero, names_of(work), self.clock).run(outcomes)


def _manifest(work: RestoreWork) -> PointManifest:
    """`names_of` has refused work without one."""
    assert work.manifest is not None
    return work.manifest
