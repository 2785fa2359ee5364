"""One tenant, one namespace, another name: what a restore is narrowed to, and that nothing else is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from google.cloud.firestore_v1 import types

from dr.app.overlive import Scope, aimed, settled_together
from dr.components.appdata.merging import differing, order_of
from dr.components.appdata.tenants import TenantCopy
from dr.components.cluster.outlining import refuse_mapped_onto
from dr.components.cluster.scoping import in_scope
from dr.errors import CONFIGURATION, CONFLICT, NOT_FOUND, RESTORE_FAILED, TARGET_EXISTS, USAGE, DrError
from dr.model.ids import SourceId
from dr.model.plans import RestorePlan, Target
from dr.model.strategy import Place, SourceSpec
from dr.model.timeline import format_instant
from dr.vendors.firestore_writes import Change, Versioned, batches, rehome
from tests.unit.fakes import CLUSTER, DATABASE, T0, FakeClock, FakeContext, planned

TENANTS = {"tenant-1": "t-1", "tenant-2": "t-2", "tenant-1b": "t-1"}
CAPTURED = ("app", "tenant-1", "tenant-1b", "tenant-2")
CONFIG = SourceId("config", "kubernetes", "energent-production")
AUDIT = SourceId("audit", "pubsub", "sink")
SPECS = [SourceSpec(source, Place(), {}) for source in (CLUSTER, DATABASE, CONFIG, AUDIT)]


# --- namespaces


def test_a_tenant_is_all_its_namespaces_and_no_other() -> None:
    target = Target(False, scope=("tenant:t-1",))
    assert in_scope(target, CAPTURED, TENANTS, "label") == ("tenant-1", "tenant-1b")


def test_without_a_scope_everything_is_meant() -> None:
    assert in_scope(Target(False), CAPTURED, {}, "") == CAPTURED


@pytest.mark.parametrize(
    ("scope", "label", "kind"),
    [
        (("namespace:nothing",), "label", NOT_FOUND),
        (("tenant:t-9",), "label", NOT_FOUND),
        (("tenant:t-1",), "", CONFIGURATION),
    ],
)
def test_what_was_not_there_is_named(scope: tuple[str, ...], label: str, kind: object) -> None:
    with pytest.raises(DrError, check=lambda error: error.kind is kind):
        in_scope(Target(False, scope=scope), CAPTURED, TENANTS, label)


def test_a_namespace_is_mapped_to_a_free_name_only() -> None:
    spaces = {"tenant-1": "copy", "app": "app"}
    refuse_mapped_onto(Target(False), spaces, ("app",))
    with pytest.raises(DrError, match="copy", check=lambda error: error.kind is TARGET_EXISTS):
        refuse_mapped_onto(Target(False), spaces, ("app", "copy"))


# --- which sources


def test_a_scope_speaks_of_the_sources_that_have_it() -> None:
    meant = {spec.id.component for spec, _ in aimed(SPECS, [], [], Scope(tenant="t-1"))}
    assert meant == {"cluster", "appdata", "config"}
    meant = {spec.id.component for spec, _ in aimed(SPECS, [], [], Scope(namespaces=("app",)))}
    assert meant == {"cluster", "config"}
    with pytest.raises(DrError, check=lambda error: error.kind is USAGE):
        aimed(SPECS[3:], [], [], Scope(tenant="t-1"))


def test_each_source_is_opened_by_its_own_name_only() -> None:
    found = {spec.id.component: target.protected for spec, target in aimed(SPECS, [CLUSTER.name], [], Scope())}
    assert found == {"cluster": CLUSTER.name, "config": CLUSTER.name, "appdata": "", "audit": ""}
    aims = aimed(SPECS, [CLUSTER.name, DATABASE.name], [], Scope())
    both = {spec.id.component: target.protected for spec, target in aims}
    assert both["appdata"] == DATABASE.name


def test_nothing_newer_can_be_in_a_namespace_that_is_made() -> None:
    with pytest.raises(DrError, check=lambda error: error.kind is USAGE):
        aimed(SPECS, [], ["newer"], Scope(mapped={"a": "b"}))


def test_a_cluster_in_the_same_plan_cuts_over_for_its_database() -> None:
    database = replace(planned(DATABASE), target=Target(False, protected=DATABASE.name))
    cluster = replace(planned(CLUSTER), target=Target(False), details={"cutover": {"namespace": "app"}})
    plan = RestorePlan("p", T0, T0, "s", (database, cluster))
    assert settled_together(plan).items[0].details["cutover_elsewhere"]
    scoped = replace(cluster, target=Target(False, scope=("tenant:t-1",)))
    assert "cutover_elsewhere" not in settled_together(replace(plan, items=(database, scoped))).items[0].details


# --- documents


@dataclass
class Documents:
    """Two databases in memory whose documents carry versions; `meanwhile` writes between a reading and a write."""

    clock: FakeClock = field(default_factory=FakeClock)
    held: dict[str, dict[str, tuple[int, datetime]]] = field(default_factory=dict)
    meanwhile: dict[str, int] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    while_streaming: dict[str, int] = field(default_factory=dict)
    """Written by somebody else after both sides were compared."""
    reads: dict[str, int] = field(default_factory=dict)

    def put(self, database: str, **documents: int) -> None:
        for path, value in documents.items():
            self.held.setdefault(database, {})[path.replace("__", "/").replace("_", "-")] = (value, self.clock.now())

    def below(self, project: str, database: str, path: str) -> Iterator[Versioned]:
        self.reads[database] = self.reads.get(database, 0) + 1
        if self.reads.get("copy", 0) == 2:
            self.put("live", **self.while_streaming)
        for name, (value, updated) in sorted(self.held.get(database, {}).items()):
            if name == path or name.startswith(f"{path}/"):
                document = types.Document(fields={"x": types.Value(integer_value=value)})
                yield Versioned(name, document._pb.fields, updated, updated)

    def write(self, project: str, database: str, changes: Sequence[Change]) -> None:
        for path, value in self.meanwhile.items():
            self.clock.advance(1)
            self.held[database][path] = (value, self.clock.now())
        for change in changes:
            found = self.held[database].get(change.path)
            if (found[1] if found else None) != change.version:
                raise DrError(CONFLICT, f"{change.path} was written meanwhile")
            self.writes.append(change.path)
            if change.fields is None:
                del self.held[database][change.path]
            else:
                self.held[database][change.path] = (change.fields["x"].integer_value, self.clock.now())

    def values(self, database: str) -> dict[str, int]:
        return {path: value for path, (value, _) in self.held[database].items()}


@pytest.fixture
def documents() -> Documents:
    """t-1 as it was in `copy`; in `live` one document of it is ruined, one deleted, one new; and t-10 beside it."""
    made = Documents()
    made.put("copy", tenants__t_1=1, tenants__t_1__jobs__a=2, tenants__t_1__jobs__b=3, tenants__t_2=9)
    made.put(
        "live", tenants__t_1=1, tenants__t_1__jobs__a=66, tenants__t_1__jobs__new=4, tenants__t_10=5, tenants__t_2=7
    )
    made.clock.advance(60)
    return made


def copying(documents: Documents) -> tuple[TenantCopy, FakeContext]:
    context = FakeContext({"undo-point": {"as_of": format_instant(documents.clock.now())}}, clock=documents.clock)
    documents.clock.advance(60)
    return TenantCopy(documents, "p", "live", "copy", "tenants/t-1"), context  # type: ignore[arg-type]


def test_one_tenant_goes_back_and_no_other_document_is_written(documents: Documents) -> None:
    copy, context = copying(documents)
    done = copy.run(context)
    assert documents.values("live") == {
        "tenants/t-1": 1, "tenants/t-1/jobs/a": 2, "tenants/t-1/jobs/b": 3, "tenants/t-10": 5, "tenants/t-2": 7,
    }  # fmt: skip
    assert sorted(documents.writes) == ["tenants/t-1/jobs/a", "tenants/t-1/jobs/b", "tenants/t-1/jobs/new"]
    assert (done["written"], done["deleted"]) == (2, 1)


def test_what_is_replaced_is_told_before(documents: Documents) -> None:
    found = {(one.path.rpartition("/")[2], one.why) for one in copying(documents)[0].differences()}
    assert found == {("a", "changed"), ("new", "newer"), ("b", "deleted")}


def test_a_second_run_writes_nothing(documents: Documents) -> None:
    copy, context = copying(documents)
    copy.run(context)
    before = list(documents.writes)
    assert copy.run(context)["written"] == 0
    assert documents.writes == before


def test_what_the_undo_point_does_not_hold_is_not_replaced(documents: Documents) -> None:
    copy, context = copying(documents)
    documents.put("live", tenants__t_1__jobs__a=77)
    with pytest.raises(DrError, match=r"jobs/a.*after the undo point", check=lambda e: e.kind is RESTORE_FAILED):
        copy.run(context)
    assert not documents.writes


def test_a_write_that_comes_between_is_never_lost(documents: Documents) -> None:
    copy, context = copying(documents)
    documents.meanwhile = {"tenants/t-1/jobs/a": 88}
    with pytest.raises(DrError, match="written meanwhile", check=lambda e: e.kind is RESTORE_FAILED):
        copy.run(context)
    assert documents.values("live")["tenants/t-1/jobs/a"] == 88


def test_nor_is_one_that_comes_after_the_comparison(documents: Documents) -> None:
    copy, context = copying(documents)
    documents.while_streaming = {"tenants__t_1__jobs__a": 99}
    with pytest.raises(DrError, match="written meanwhile", check=lambda e: e.kind is RESTORE_FAILED):
        copy.run(context)
    assert documents.values("live")["tenants/t-1/jobs/a"] == 99


# --- two databases


def test_databases_are_compared_in_the_order_of_firestore() -> None:
    """`a/b/c` comes before `a-`, and numbered names before all others by their number."""
    paths = ["a/__id7__", "a/__id30__", "a/b", "a/b/c/d", "a/b-"]
    assert sorted(paths, key=order_of) == paths
    living = iter([(path, "1") for path in paths])
    wanted = iter([(path, "2" if path == "a/b" else "1") for path in paths if path != "a/__id30__"] + [("z/z", "1")])
    found = [(one.path, one.why) for one in differing(living, wanted)]
    assert found == [("a/__id30__", "newer"), ("a/b", "changed"), ("z/z", "deleted")]


def test_references_follow_their_document_into_the_other_database() -> None:
    inner = types.Value(reference_value="projects/p/databases/copy/documents/tenants/t-1")
    value = types.Value(array_value={"values": [inner]})
    rehome(value._pb, "projects/p/databases/live")
    assert value.array_value.values[0].reference_value == "projects/p/databases/live/documents/tenants/t-1"


def test_a_commit_takes_only_so_many() -> None:
    changes = [Change(f"c/{n}", None, T0 + timedelta(seconds=n)) for n in range(450)]
    assert [len(batch) for batch in batches(changes)] == [200, 200, 50]
