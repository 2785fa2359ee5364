"""A restore over a living database (`ports.LiveGuard`): the database itself is never overwritten. Either the application is cut
over to the restored one, or the documents of one tenant are copied back, each on the condition that nobody wrote it since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.components.appdata.access import FirestoreApi, FirestoreOptions
from dr.components.appdata.contents import database_items
from dr.components.appdata.merging import differing
from dr.components.appdata.targets import NAME
from dr.components.appdata.tenants import TenantCopy
from dr.components.cluster.access import Cutover, KubeApi
from dr.components.cluster.cutting import Application
from dr.components.cluster.guarding import UNDO_OF
from dr.components.cluster.scoping import tenant_of
from dr.errors import CONFIGURATION, NOT_FOUND, DrError
from dr.model.plans import PlannedRestore
from dr.model.points import PointManifest
from dr.model.strategy import SourceSpec
from dr.model.timeline import floor_to, parse_duration
from dr.ports import Json, RestoreWork, Salvaged, Step, StepContext
from dr.vendors.firestore_writes import FirestoreDocuments
from dr.vendors.kubernetes_objects import mapping, text

CUT_BACK = "firestore-cut-back"
"""Method of an item that undoes a cut-over: the database of before is in use again."""
ELSEWHERE = "cutover_elsewhere"
"""Detail: the cluster, restored in the same plan, cuts over and lets the writers write."""
_HEALTHY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class DatabaseGuard:
    """Of restores of a Firestore database."""

    api: FirestoreApi
    documents: FirestoreDocuments
    kube: Callable[[], KubeApi]

    def prepare(self, spec: SourceSpec, planned: PlannedRestore) -> PlannedRestoreChange:
        """Raises DrError CONFIGURATION when nothing says how the application learns of its database, NOT_FOUND without the source."""
        options, tenant = FirestoreOptions.of(spec), tenant_of(planned.target.scope)
        details = {
            "database": options.database,
            "granularity_s": options.granularity.total_seconds(),
            "cutover": dict(mapping(spec.options, "cutover")),
        }
        if not tenant:
            if Cutover.read(details) is None:
                hint = "declare options.cutover of the source, or leave --over out: the new database is left beside the old one"
                raise DrError(
                    CONFIGURATION, f"nothing says how the application learns of {options.database}", hint=hint
                )
            new = planned.target.names[NAME]
            words = f"the application is cut over from {options.database} to {new}, and back if it is not healthy there"
            return details, (words,)
        if self.api.database(options.project, options.database) is None:
            raise DrError(
                NOT_FOUND, f"database {options.database} is gone: a tenant can only be copied into a living one"
            )
        path = _tenant_path(spec, tenant)
        words = f"only {path} and what is under it are written in {options.database}, where they differ"
        return {**details, "tenant": path}, (words,)

    # --- who writes

    def _application(self, work: RestoreWork) -> Application:
        details = work.item.details
        cutover = Cutover.read(details)
        assert cutover is not None  # `prepare` refused
        within = text(details, "cutover", "healthyWithin")
        seconds = (parse_duration(within) if within else _HEALTHY).total_seconds()
        # going back to what the application did not work on is what was asked for
        demanded = work.item.details.get("was_healthy") is not False
        return Application(self.kube(), cutover, work.plan_id, seconds, demanded)

    def survey(self, work: RestoreWork) -> Json:
        project, source = _place(work)
        living = self.api.database(project, source) is not None
        if _tenant(work):
            return {"living": living, "writers": []}
        application = self._application(work)
        good, said = application.health()
        return {
            "living": living,
            "pointed_at": application.pointed_at(),
            "healthy": good,
            "said": said,
            "writers": application.fence.survey(),
        }

    def fence(self, work: RestoreWork, context: StepContext) -> Json:
        """A tenant's documents are written on conditions instead, so that nobody else need be stopped."""
        if _tenant(work):
            return {"fenced": [], "instead": "each document is written only if nobody wrote it since the undo point"}
        surveyed = context.outcome("survey")["writers"]
        assert isinstance(surveyed, Sequence)
        return self._application(work).fence.close(surveyed, context)

    def settled(self, work: RestoreWork, fenced: datetime) -> datetime:
        """An export is of an instant at a whole minute."""
        step = timedelta(seconds=float(str(work.item.details["granularity_s"])))
        floor = floor_to(fenced, step)
        return floor if floor == fenced else floor + step

    def release(self, work: RestoreWork, context: StepContext) -> Json:
        left = work.item.details.get(ELSEWHERE) and not work.item.details.get("only_release")
        if _tenant(work) or left:
            return {"opened": []}
        return self._application(work).fence.open(_owners(work))

    # --- the steps

    def around(self, work: RestoreWork, apply: Sequence[Step], keep: Step, prove: Step) -> Sequence[Step]:
        """The restored copy is whole and proven before the application, or a document, is touched."""
        first = (*apply, keep, prove)
        if tenant := _tenant(work):
            copy = TenantCopy(self.documents, *_place(work), _new(work), tenant)
            return (*first, Step("copy-back", copy.run))
        if work.item.details.get(ELSEWHERE):
            return first
        to, back = _new(work), _place(work)[1]
        if work.item.method == CUT_BACK:
            to, back = back, to
        return (*first, *self._application(work).steps(to, back, _owners(work)))

    def salvage(self, work: RestoreWork, undo: PointManifest | None) -> Iterator[Salvaged]:
        """What the database in use has otherwise than the one that comes instead."""
        (project, source), new = _place(work), _new(work)
        if tenant := _tenant(work):
            yield from TenantCopy(self.documents, project, source, new, tenant).differences()
            return
        old, wanted = (new, source) if work.item.method == CUT_BACK else (source, new)
        if self.api.database(project, old) is not None:
            yield from differing(database_items(self.api, project, old), database_items(self.api, project, wanted))


PlannedRestoreChange = tuple[Json, tuple[str, ...]]
"""Details and reasons to add."""


def _place(work: RestoreWork) -> tuple[str, str]:
    return str(work.item.details["project"]), str(work.item.details["database"])


def _new(work: RestoreWork) -> str:
    return work.item.target.names[NAME]


def _tenant(work: RestoreWork) -> str:
    return str(work.item.details.get("tenant", ""))


def _owners(work: RestoreWork) -> tuple[str, ...]:
    return work.plan_id, str(work.item.details.get(UNDO_OF, ""))


def _tenant_path(spec: SourceSpec, tenant: str) -> str:
    pattern = text(spec.options, "tenantDocuments") or "tenants/{tenant}"
    return pattern.replace("{tenant}", tenant)
