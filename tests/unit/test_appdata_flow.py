"""Capture, inspect and restore a database over hand-written fakes: what is asked once, what is refused, what is left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

import pytest

from dr.components.appdata.cloning import PitrRestorer
from dr.components.appdata.contents import FirestoreWitness, export_items
from dr.components.appdata.exportfile import read_export
from dr.components.appdata.exporting import ExportRestorer
from dr.components.appdata.inspector import FirestoreExportInspector
from dr.components.appdata.mutating import forgeries
from dr.components.appdata.source import FirestoreSource
from dr.components.planting import Subject, Unsuitable
from dr.errors import (
    BACKUP_FAILED,
    CONFIGURATION,
    INSTANT_UNREACHABLE,
    NOT_FOUND,
    RESTORE_FAILED,
    TARGET_EXISTS,
    TARGET_PROTECTED,
    DrError,
    ErrorKind,
)
from dr.model.ids import Slot
from dr.model.plans import PlannedRestore, Target
from dr.model.points import PointManifest
from dr.model.strategy import FailureDomain, Place, SourceSpec
from dr.model.timeline import floor_to
from dr.ports import Draft, ObjectStore, Restorer, RestoreWork
from dr.record.verify import against_draft
from dr.stores.memory import MemoryStore
from dr.stores.overlay import Overlay
from tests.unit.fakes import DATABASE, T0, FakeClock, FakeContext, manifest, run_all
from tests.unit.firestore_fake import PROJECT, CloudMemory, FakeFirestore

NAME, MINUTE = DATABASE.name, timedelta(minutes=1)
SLOT = Slot(DATABASE, T0)
DRILL = Target(isolated=True, prefix="drill-1-")
COPY = f"drill-1-{NAME}"


@dataclass
class World:
    """One database with 5 documents, one vault, everything over fakes."""

    clock: FakeClock
    api: FakeFirestore
    vault: CloudMemory
    spec: SourceSpec

    @property
    def source(self) -> FirestoreSource:
        return FirestoreSource(self.spec, self.api, self.clock, self.open)

    def open(self, url: str) -> ObjectStore:
        return self.api.stores[url.removeprefix("gs://")]

    def context(self) -> FakeContext:
        return FakeContext(clock=self.clock)

    def run(self, steps: object) -> FakeContext:
        context = self.context()
        for step in steps:  # type: ignore[attr-defined]
            context.outcomes[step.name] = step.run(context)
        return context

    def draft(self, vault: ObjectStore | None = None) -> Draft:
        steps = self.source.capture(SLOT, vault or self.vault, self.clock.now())
        return self.source.draft(self.run(steps).outcomes)

    def point(self, vault: ObjectStore | None = None) -> PointManifest:
        draft = self.draft(vault)
        found = FirestoreExportInspector().inspect(vault or self.vault, draft.artefacts, draft.details)
        assert all(check.passed for check in against_draft(draft, found))
        changes = {"artefacts": found.artefacts, "counts": found.counts, "details": draft.details}
        return manifest(as_of=draft.as_of, method=draft.method, **changes)

    def plan(self, target: Target = DRILL, vault: ObjectStore | None = None) -> tuple[ExportRestorer, RestoreWork]:
        restorer, point = ExportRestorer(self.api, self.clock, self.open), self.point(vault)
        item = restorer.outline(self.spec, point, T0, FailureDomain.SOURCE, target)
        return restorer, RestoreWork("p", item, point, vault or self.vault)

    def clone(self, target: Target = DRILL) -> tuple[PitrRestorer, RestoreWork]:
        restorer, coverage = PitrRestorer(self.api, self.clock), self.source.observe().coverage
        assert coverage is not None
        item = restorer.outline(self.spec, coverage, self.clock.now(), FailureDomain.LOGICAL, target)
        return restorer, RestoreWork("p", item, None, self.vault)


@pytest.fixture
def world() -> World:
    clock = FakeClock(T0 + timedelta(seconds=90))
    vault = CloudMemory("vault", now=clock.now)
    api = FakeFirestore(clock, {"vault": vault, "staging": CloudMemory("staging", now=clock.now)})
    api.add(NAME, {f"c/d{n}": n for n in range(5)})
    clock.advance(60)
    spec = SourceSpec(DATABASE, Place(PROJECT, "us-central1"), {"project": PROJECT, "database": NAME})
    return World(clock, api, vault, spec)


def refused(kind: ErrorKind) -> object:
    """A context that wants a DrError of that kind."""
    return pytest.raises(DrError, check=lambda error: error.kind is kind)


def run_restore(world: World, restorer: Restorer, work: RestoreWork) -> FakeContext:
    context = world.run(restorer.steps(work))
    assert [check for check in restorer.checks(work, context.outcomes) if not check.passed] == []
    return context


# --- capture


def test_a_capture_exports_a_whole_minute_and_reads_it_back(world: World) -> None:
    world.api.write(NAME, late=9)
    draft = world.draft()
    assert draft.as_of == floor_to(world.clock.now(), MINUTE)
    found = FirestoreExportInspector().inspect(world.vault, draft.artefacts, draft.details)
    assert all(check.passed for check in against_draft(draft, found))
    assert found.counts == {"documents": 5}, "what was written after the snapshot is not in it"
    assert {artefact.role for artefact in found.artefacts} == {
        "firestore/overall-metadata",
        "firestore/listing",
        "firestore/output",
    }


def test_a_takeover_between_start_and_journal_starts_no_second_export(world: World) -> None:
    """I4: the step runs again in a fresh context, as after kill -9."""
    choose, export, follow, inventory = world.source.capture(SLOT, world.vault, world.clock.now())
    journal = {"choose-snapshot": choose.run(world.context())}
    lost = export.run(FakeContext(dict(journal), clock=world.clock))
    world.clock.advance(120)
    again = FakeContext(dict(journal), clock=world.clock)
    assert export.run(again) == lost
    assert world.api.started == ["ExportDocuments"]
    for step in (follow, inventory):
        again.outcomes["export"] = lost
        again.outcomes[step.name] = step.run(again)
    assert world.source.draft(again.outcomes).counts == {"documents": 5}


def test_an_export_whose_answer_was_lost_is_found_in_the_list(world: World) -> None:
    world.api.lose_answers = 1
    assert world.draft().counts == {"documents": 5}
    assert world.api.started == ["ExportDocuments"]


def test_a_cancelled_export_fails_the_backup(world: World) -> None:
    world.api.end_with = "cancelled"
    with refused(BACKUP_FAILED):
        world.draft()


def test_a_database_that_is_not_there(world: World) -> None:
    missing = replace(world, spec=replace(world.spec, options={"project": PROJECT, "database": "nothing"}))
    with refused(NOT_FOUND):
        missing.source.observe()
    assert [check.passed for check in missing.source.check()] == [True, False]


def test_without_history_there_is_no_coverage_and_check_says_so(world: World) -> None:
    world.api.add(NAME, {}, history=False)
    assert world.source.observe().coverage is None
    assert "point-in-time recovery" in [check.name for check in world.source.check() if not check.passed]
    with refused(BACKUP_FAILED):
        world.draft()


def test_coverage_is_whole_minutes_and_survives_only_bad_writes(world: World) -> None:
    facts = world.source.observe()
    coverage = facts.coverage
    assert coverage is not None
    assert coverage.survives == (FailureDomain.LOGICAL,)
    assert floor_to(coverage.start, MINUTE) == coverage.start
    assert coverage.end == floor_to(world.clock.now(), MINUTE)
    assert facts.items == 5
    assert "5 documents" in facts.cost_arithmetic


def test_a_vault_outside_cloud_storage_needs_a_staging_place(world: World) -> None:
    local = MemoryStore("local", now=world.clock.now)
    with refused(CONFIGURATION):
        world.source.capture(SLOT, local, world.clock.now())
    options = {**world.spec.options, "staging": "gs://staging"}
    staged = replace(world, spec=replace(world.spec, options=options))
    restorer, work = staged.plan(vault=local)
    run_restore(staged, restorer, work)
    assert world.api.count(PROJECT, COPY) == 5


# --- inspection


def test_each_damaged_missing_or_swapped_file_is_named(world: World) -> None:
    """I1, I7: never an exception, and the check carries the artefact's name."""
    draft = world.draft()
    for artefact in draft.artefacts:
        good = world.vault.get(artefact.name)
        bad = bytes([good[0] ^ 1]) + good[1:]
        world.vault.corrupt(artefact.name, bad)
        found = FirestoreExportInspector().inspect(world.vault, draft.artefacts, draft.details)
        failed = [check for check in against_draft(draft, found) if not check.passed]
        assert any(artefact.name in check.name + check.detail for check in failed), artefact.name
        world.vault.corrupt(artefact.name, good)


def test_a_document_that_comes_twice_is_named(world: World) -> None:
    """An import of it fails, or keeps one of both: neither would say which."""
    draft = world.draft()
    output = next(one for one in draft.artefacts if one.name.endswith("output-0"))
    twice = world.vault.get(output.name) * 2
    copy = Overlay(world.vault, {output.name: twice})
    found = FirestoreExportInspector().inspect(copy, draft.artefacts, draft.details)
    assert any("c/d0 is there twice" in check.detail for check in found.checks)


def test_documents_of_another_database_fail_the_inspection(world: World) -> None:
    draft = world.draft()
    found = FirestoreExportInspector().inspect(world.vault, draft.artefacts, {**draft.details, "database": "other"})
    assert any("not projects/energent-lab/databases/other" in check.detail for check in found.checks)


# --- restore


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_both_methods_bring_every_document_back_and_teardown_leaves_nothing(world: World, method: str) -> None:
    restorer, work = getattr(world, method)()
    assert work.item.target.names == {"database": COPY}
    context = run_restore(world, restorer, work)
    assert {item.path for item in restorer.contents(work, context.outcomes)} == {f"c/d{n}" for n in range(5)}
    assert [check.passed for check in restorer.teardown(work, context.outcomes)] == [True]
    assert set(world.api.held) == {NAME}


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_every_step_may_run_twice(world: World, method: str) -> None:
    """I6: a crash after any step, before its journal entry."""
    restorer, work = getattr(world, method)()
    context = world.context()
    for step in restorer.steps(work):
        if step.name != "reserve":
            step.run(FakeContext(dict(context.outcomes), clock=world.clock))
        context.outcomes[step.name] = step.run(context)
    wanted = ["CreateDatabase", "ImportDocuments"] if method == "plan" else ["CloneDatabase"]
    assert [kind for kind in world.api.started if kind != "ExportDocuments"] == wanted


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_lost_answers_start_nothing_twice(world: World, method: str) -> None:
    restorer, work = getattr(world, method)()
    world.api.lose_answers = 2
    run_restore(world, restorer, work)
    assert len(set(world.api.started)) == len(world.api.started)


def test_the_export_restores_when_the_source_is_gone(world: World) -> None:
    restorer, work = world.plan()
    del world.api.held[NAME]
    run_restore(world, restorer, work)
    assert world.api.count(PROJECT, COPY) == 5


def test_a_real_restore_goes_into_a_new_protected_database_that_teardown_keeps(world: World) -> None:
    restorer, work = world.plan(Target(isolated=False))
    name = work.item.target.names["database"]
    assert name.startswith(f"{NAME}-restored-20250528t")
    context = run_restore(world, restorer, work)
    made = world.api.database(PROJECT, name)
    assert made is not None
    assert (made.protected, made.history) == (True, True)
    assert restorer.teardown(work, context.outcomes)[0].detail.startswith("kept")
    assert name in world.api.held


def test_targets_that_exist_or_are_the_source_are_refused(world: World) -> None:
    with refused(TARGET_PROTECTED):
        world.plan(Target(isolated=False, names={"database": NAME}))
    with refused(TARGET_PROTECTED):
        world.plan(Target(isolated=True, prefix="drill-1-", names={"database": "other"}))
    restorer, work = world.plan()
    world.api.add(COPY, {})
    with refused(TARGET_EXISTS):
        world.plan()
    with refused(TARGET_EXISTS):
        run_all(restorer.steps(work))


def test_teardown_leaves_a_database_alone_that_is_not_provably_ours(world: World) -> None:
    """I9: the same name, another uid; and no journal at all."""
    restorer, work = world.plan()
    context = run_restore(world, restorer, work)
    world.api.add(COPY, {"c/precious": 1})
    for outcomes in (context.outcomes, {}):
        check = restorer.teardown(work, outcomes)[0]
        assert not check.passed
        assert check.detail.startswith("left alone")
    assert COPY in world.api.held


def test_a_teardown_that_is_refused_is_a_failed_check(world: World) -> None:
    restorer, work = world.plan()
    context = run_restore(world, restorer, work)
    held = world.api.held[COPY]
    held.database = replace(held.database, protected=True)
    check = restorer.teardown(work, context.outcomes)[0]
    assert (check.passed, check.detail) == (False, "delete protection is on")


def test_a_missing_and_a_changed_document_fail_the_checks_by_name(world: World) -> None:
    restorer, work = world.plan()
    context = run_restore(world, restorer, work)
    world.api.held[COPY].history.append((world.clock.now(), {"c/d0": 0, "c/d1": 99, "c/d2": 2, "c/d3": 3}))
    failed = [check for check in restorer.checks(work, context.outcomes) if not check.passed]
    assert "c/d1 is different" in failed[0].detail
    assert "c/d4 is missing" in failed[0].detail


def test_instants_outside_the_history_are_refused(world: World) -> None:
    coverage = world.source.observe().coverage
    assert coverage is not None
    restorer = PitrRestorer(world.api, world.clock)
    for requested in (coverage.start - MINUTE, coverage.end + MINUTE):
        with refused(INSTANT_UNREACHABLE):
            restorer.outline(world.spec, coverage, requested, FailureDomain.LOGICAL, DRILL)


def test_a_source_made_anew_since_the_plan_is_not_cloned(world: World) -> None:
    restorer, work = world.clone()
    world.api.add(NAME, {"c/other": 1})
    with refused(INSTANT_UNREACHABLE):
        world.run(restorer.steps(work))


def test_an_import_that_fails_fails_the_restore(world: World) -> None:
    restorer, work = world.plan()
    world.api.end_with = "out of quota"
    with refused(RESTORE_FAILED):
        world.run(restorer.steps(work))


def test_long_names_are_shortened_by_a_hash(world: World) -> None:
    target = Target(isolated=True, prefix=f"drill-{'x' * 40}-")
    item: PlannedRestore = world.plan(target)[1].item
    name = item.target.names["database"]
    assert len(name) <= 63
    assert name.startswith(target.prefix)


def test_the_living_witness_reads_the_past(world: World) -> None:
    before = world.clock.now()
    world.clock.advance(1)
    world.api.write(NAME, new=1)
    witness = FirestoreWitness(world.api, world.clock)
    assert len(list(witness.read(world.spec, before))) == 5
    now = list(witness.read(world.spec, world.clock.now()))
    assert len(now) == 6
    # a document that did not change after a point must be in it as it is
    assert {item.path for item in now if item.updated and item.updated > before} == {"c/new"}


def test_the_living_witness_recalls_what_stood_at_an_instant_while_it_can(world: World) -> None:
    before = floor_to(world.clock.now(), MINUTE) + MINUTE
    world.clock.advance((before - world.clock.now()).total_seconds())
    world.api.write(NAME, new=1)
    then = world.clock.now()
    world.clock.advance(30)
    world.api.write(NAME, new=2, other=1)
    witness = FirestoreWitness(world.api, world.clock)
    now = {item.path: item.sha256 for item in witness.read(world.spec, world.clock.now())}
    found = witness.recall(world.spec, ["c/new", "c/other", "c/never"], then)
    assert found is not None
    assert found.keys() == {"c/new"}
    assert found["c/new"] != now["c/new"]
    odd = then + timedelta(seconds=7)
    assert witness.recall(world.spec, ["c/new"], odd) == found
    world.clock.advance(2 * 3600)
    assert witness.recall(world.spec, ["c/new"], odd) is None
    assert witness.recall(world.spec, ["c/new"], then) == found
    assert witness.recall(world.spec, ["c/new"], then - timedelta(days=30)) is None


def test_a_document_more_is_planted_only_where_the_database_can_tell(world: World) -> None:
    point, asked = world.point(), list[tuple[str, datetime]]()

    def recall(path: str, at: datetime) -> bool:
        asked.append((path, at))
        return FirestoreWitness(world.api, world.clock).recall(world.spec, [path], at) is not None

    subject = Subject(world.spec, world.vault, point, None, world.clock.now(), recall=recall)
    plant = next(one.plant for one in forgeries(subject) if one.name == "document-added")
    edit = plant(subject, Random(1))
    assert asked == [(edit.hit[0], point.as_of)]
    copy = Overlay(world.vault, edit.files, edit.metadata)
    held = {path for path, _ in export_items(world.vault, point.artefacts)}
    names = [info.name for info in copy.list()]
    assert {document.path for document in read_export(copy.stream, names)} == {*held, *edit.hit}
    world.clock.advance(8 * 24 * 3600)
    world.api.held[NAME].database = replace(world.api.held[NAME].database, earliest=world.clock.now())
    with pytest.raises(Unsuitable, match="reaches back no more"):
        plant(subject, Random(1))


@pytest.mark.parametrize("name", ["value-changed", "document-missing", "document-replaced", "tenants-swapped"])
def test_faults_are_planted_in_documents_that_did_not_change_since(world: World, name: str) -> None:
    point = world.point()
    subject = Subject(world.spec, world.vault, point, None, world.clock.now())
    plant = next(one.plant for one in forgeries(subject) if one.name == name)
    calm = {path for seed in range(99) for path in plant(subject, Random(seed)).hit}
    assert len(calm) > 2
    calm.remove(min(calm))
    subject = replace(subject, unchanged=calm.__contains__)
    for seed in range(9):
        assert {*plant(subject, Random(seed)).hit} <= calm
    with pytest.raises(Unsuitable):
        plant(replace(subject, unchanged=lambda _path: False), Random(1))


@pytest.mark.parametrize("method", ["plan", "clone"])
def test_the_tripwire_sees_an_import_into_the_protected_database_and_another_database_in_its_place(
    world: World, method: str
) -> None:
    restorer, work = getattr(world, method)()
    context = run_restore(world, restorer, work)
    assert [check.passed for check in restorer.reached(work, context.outcomes)] == [True]
    world.api.load(PROJECT, NAME, source=f"gs://vault/{world.draft().details['folder']}")
    (check,) = restorer.reached(work, context.outcomes)
    assert not check.passed
    assert "imported into meanwhile" in check.detail
    del world.api.held[NAME]
    (check,) = restorer.reached(work, context.outcomes)
    assert (check.passed, check.detail) == (False, "is gone, or was made anew")
