"""The erasure ledger: append-only, and replayed over every restored copy before it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from dr.app.erasing import remembered, still_known
from dr.components.appdata.cloning import PitrRestorer
from dr.components.appdata.erasing import Erasing
from dr.components.appdata.exporting import ExportRestorer
from dr.components.cluster.erased import STEP, Unerased
from dr.components.cluster.names import names_of
from dr.components.cluster.restorer import VeleroRestorer
from dr.components.config.restorer import ConfigRestorer
from dr.errors import CONFLICT, RESTORE_FAILED, DrError
from dr.model.erasure import Erasure, Subject, SubjectKind
from dr.model.evidence import AcknowledgedWrite
from dr.model.points import Check
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.plan.erasure import covers, erased_paths, erased_tenants, parse_subject
from dr.ports import RestoredItem
from dr.record.erasures import add_erasure, read_erasures
from dr.stores.memory import MemoryStore
from dr.vendors.firestore_writes import Change, Versioned
from tests.unit.fakes import DATABASE, T0, FakeClock
from tests.unit.firestore_fake import PROJECT, CloudMemory, FakeFirestore
from tests.unit.test_appdata_flow import COPY, NAME
from tests.unit.test_appdata_flow import World as Firestore
from tests.unit.test_config_restore import Restore
from tests.unit.test_config_restore import world as config_world
from tests.unit.test_velero_restore import DRILL, Work
from tests.unit.velero_world import START, Context, spec
from tests.unit.velero_world import world as cluster_world

Ledger = list[Erasure]


def entry(text: str) -> Erasure:
    return Erasure(f"id-{text}", parse_subject(text), T0, "me", "asked to")


# --- subjects


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("t-001", SubjectKind.TENANT, "t-001"),
        ("tenant:t-001", SubjectKind.TENANT, "t-001"),
        ("tenants/t-001", SubjectKind.DOCUMENT, "tenants/t-001"),
        ("document:/users/u-7/", SubjectKind.DOCUMENT, "users/u-7"),
    ],
)
def test_what_a_subject_names(text: str, kind: SubjectKind, name: str) -> None:
    assert parse_subject(text) == Subject(kind, name)


@pytest.mark.parametrize(
    "text", ["", "tenant:", "document:", "a//b", "tenants", "document:tenants", "a/b/c", "tenant:a/b"]
)
def test_what_names_nothing_or_a_whole_collection_is_refused(text: str) -> None:
    if text == "tenants":  # a word without a slash is a tenant's id
        assert parse_subject(text).kind is SubjectKind.TENANT
        return
    with pytest.raises(ValueError, match=r"names nothing|is a collection|is no tenant"):
        parse_subject(text)


def test_a_tenant_is_its_documents_and_paths_under_others_are_said_once() -> None:
    ledger = [entry("t-1"), entry("tenants/t-1/users/u"), entry("tenants/t-10"), entry("users/u-7")]
    assert erased_paths(ledger, "tenants/{tenant}") == ("tenants/t-1", "tenants/t-10", "users/u-7")
    assert erased_tenants(ledger) == {"t-1"}


def test_a_path_covers_whole_segments_only() -> None:
    assert covers(["tenants/t-1"], "tenants/t-1")
    assert covers(["tenants/t-1"], "tenants/t-1/jobs/4")
    assert not covers(["tenants/t-1"], "tenants/t-10")


# --- the ledger


def test_entries_are_appended_and_never_replaced() -> None:
    control = MemoryStore("control")
    first = add_erasure(control, parse_subject("t-1"), T0, "me", "asked to")
    second = add_erasure(control, parse_subject("users/u"), T0 + timedelta(seconds=1), "me", "asked to")
    assert read_erasures(control) == (first, second)
    with pytest.raises(DrError) as caught:
        control.put(f"erasures/{first.id}.json", b"{}")
    assert caught.value.kind is CONFLICT


def test_a_ledger_that_cannot_be_read_stops_what_needs_it() -> None:
    control = MemoryStore("control")
    control.put("erasures/20250528T100000Z-aa.json", b"{}")
    with pytest.raises(DrError):
        read_erasures(control)


# --- application data


@pytest.fixture
def firestore() -> Firestore:
    """Five documents, `c/d0` to `c/d4`."""
    clock = FakeClock(T0 + timedelta(seconds=90))
    vault = CloudMemory("vault", now=clock.now)
    api = FakeFirestore(clock, {"vault": vault, "staging": CloudMemory("staging", now=clock.now)})
    api.add(NAME, {f"c/d{n}": n for n in range(5)})
    clock.advance(60)
    options = {"project": PROJECT, "database": NAME}
    return Firestore(clock, api, vault, SourceSpec(DATABASE, Place(PROJECT, "us-central1"), options))


@dataclass
class Documents:
    """Documents of the fake Firestore; `deaf`: takes writes and does nothing."""

    api: FakeFirestore
    deaf: bool = False
    written: list[str] = field(default_factory=list)

    def below(self, project: str, database: str, path: str) -> Iterator[Versioned]:
        for name in sorted(self.api.held[database].at(self.api.clock.now())):
            if covers([path], name):
                yield Versioned(name, {}, name, self.api.clock.now())

    def write(self, project: str, database: str, changes: Sequence[Change]) -> None:
        assert all(change.fields is None for change in changes)
        self.written += [change.path for change in changes]
        held = self.api.held[database]
        gone = set() if self.deaf else {change.path for change in changes}
        left = {path: value for path, value in held.at(self.api.clock.now()).items() if path not in gone}
        held.history.append((self.api.clock.now(), left))


@dataclass
class Copying:
    """A restore of five documents `c/d0` to `c/d4`, by either method."""

    world: Firestore
    method: str
    ledger: Ledger = field(default_factory=list)
    deaf: bool = False

    def run(self) -> Callable[[], dict[str, Check]]:
        made, work = getattr(self.world, self.method)()
        self.documents = Documents(self.world.api, self.deaf)
        erasing = Erasing(self.documents, lambda: tuple(self.ledger))
        assert isinstance(made, ExportRestorer | PitrRestorer)
        restorer = replace(made, erasing=erasing)
        self.steps = [step.name for step in restorer.steps(work)]
        outcomes = self.world.run(restorer.steps(work)).outcomes
        self.outcome = outcomes["erase"]
        return lambda: {check.name: check for check in restorer.checks(work, outcomes)}


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_what_was_erased_is_gone_before_the_copy_serves_and_the_rest_is_whole(
    firestore: Firestore, method: str
) -> None:
    copying = Copying(firestore, method, [entry("c/d1"), entry("c/d3"), entry("t-9")])
    checks = copying.run()()
    assert set(firestore.api.held[COPY].at(firestore.clock.now())) == {"c/d0", "c/d2", "c/d4"}
    assert set(firestore.api.held[NAME].at(firestore.clock.now())) == {f"c/d{n}" for n in range(5)}
    assert copying.steps.index("erase") < copying.steps.index("serve")
    assert copying.outcome == {"subjects": 3, "erased": 2}
    assert all(check.passed for check in checks.values())
    assert "2 documents were erased" in checks["erased subjects"].detail


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_a_copy_that_still_holds_an_erased_subject_fails(firestore: Firestore, method: str) -> None:
    with pytest.raises(DrError) as caught:
        Copying(firestore, method, [entry("c/d1")], deaf=True).run()
    assert caught.value.kind is RESTORE_FAILED


def test_a_subject_that_was_erased_meanwhile_fails_the_copy_by_count(firestore: Firestore) -> None:
    copying = Copying(firestore, "plan")
    look = copying.run()
    assert look()["erased subjects"].passed
    copying.ledger.append(entry("c/d1"))
    found = look()["erased subjects"]
    assert not found.passed
    assert "1 documents" in found.detail
    assert "c/d1" not in found.detail


# --- cluster


def restorer_of(work: Work, ledger: Ledger) -> VeleroRestorer:
    return replace(work.restorer, ledger=lambda: tuple(ledger))


def test_a_cluster_comes_back_without_the_namespaces_of_erased_tenants() -> None:
    here = cluster_world()
    work = Work(here)
    details = {**work.manifest.details, "namespaces": ["app", "tenant-1"], "tenants": {"tenant-1": "t-1"}}
    manifest, ledger = replace(work.manifest, details=details), [entry("t-1")]
    restorer = restorer_of(work, ledger)
    item = restorer.outline(spec(), manifest, START, FailureDomain.LOGICAL, DRILL)
    assert item.details["erased"] == ["tenant-1"]
    names = names_of(replace(work.work, item=item, manifest=manifest))
    assert (dict(names.namespaces), names.erased) == ({"app": "drill-app"}, {"tenant-1"})
    steps = [step.name for step in restorer.steps(replace(work.work, item=item, manifest=manifest))]
    assert steps.index(STEP) < steps.index("restore")


def test_a_plan_that_is_older_than_an_erasure_restores_nothing_of_it() -> None:
    ledger: Ledger = []
    unerased = Unerased(lambda: tuple(ledger), ["app", "tenant-1"], {"tenant-1": "t-1"}, [])
    assert unerased.run(Context()) == {"left_out": 0}
    assert unerased.check().passed
    ledger.append(entry("t-1"))
    assert not unerased.check().passed
    with pytest.raises(DrError) as caught:
        unerased.run(Context())
    assert caught.value.kind is RESTORE_FAILED
    assert "t-1" not in caught.value.message


# --- configuration


def test_configuration_comes_back_without_the_namespaces_of_erased_tenants() -> None:
    here = config_world()
    restore = Restore(here)
    made = restore.restorer
    label = "energent.io/tenant-id"
    here.api.put("namespaces", {"metadata": {"name": "tenant-1", "labels": {"tenant": "true", label: "t-1"}}})
    here.catch_up()
    here.clock.advance(10)
    restore.restorer = ConfigRestorer(
        made.api, made.sealer, made.vault, made.clock, made.method, lambda: (entry("t-1"),)
    )
    work = restore.run(restore.planned(tenantLabel=label))
    assert restore.item.details["erased"] == ["tenant-1"]
    assert {space for _, space, _ in here.api.objects if space.startswith("drill")} == {"drill-1-c-app"}
    assert restore.checks(work)["erased subjects"]
    assert restore.checks(work)["objects equal to the log"]


# --- witnesses


def test_what_was_erased_is_no_loss() -> None:
    gone = lambda source, path: covers(["tenants/t-1"], path)  # noqa: E731
    writes = [AcknowledgedWrite(T0, "db", path, 1, "a") for path in ("tenants/t-1/jobs/1", "tenants/t-2/jobs/1")]
    assert [one.path for one in remembered(lambda source: writes, gone)("db")] == ["tenants/t-2/jobs/1"]
    items = [RestoredItem("tenants/t-1", "a"), RestoredItem("tenants/t-2", "a")]
    assert [one.path for one in still_known(items, "db", gone)] == ["tenants/t-2"]
