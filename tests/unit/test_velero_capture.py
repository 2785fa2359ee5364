"""Capturing a cluster: one Backup whatever crashes, only a true Completed counts, everything is copied."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping

import pytest

from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.layout import BACKUPS, LABEL_PLAN
from dr.components.cluster.source import VeleroSource
from dr.errors import BACKUP_FAILED, CONFIGURATION, CONFLICT, TIMED_OUT, UNREACHABLE, DrError, ErrorKind
from dr.ports import Step
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, name_of
from tests.unit.test_velero_inspect import PVC, SKIPPED
from tests.unit.velero_world import START, WORLD, Context, FakeKube, Made, World, slot, spec, world


class Run:
    """One capture, step by step."""

    def __init__(self, here: World, **options: object) -> None:
        self.context, self.vault = Context(), MemoryStore("vault")
        self.source = VeleroSource(spec(**options), here.velero, self.context.clock)

    def steps(self) -> Mapping[str, Step]:
        return {step.name: step for step in self.source.capture(slot(), self.vault, START)}

    def until(self, last: str = "copy") -> Run:
        for name, step in self.steps().items():
            self.context.journal(name, step.run(self.context))
            if name == last:
                break
        return self

    def fails(self, kind: ErrorKind) -> str:
        with pytest.raises(DrError) as caught:
            self.until()
        assert caught.value.kind is kind, caught.value
        return caught.value.message


def test_a_capture_becomes_a_draft_that_its_inspector_confirms() -> None:
    run = Run(world()).until()
    draft = run.source.draft(run.context.outcomes)
    found = VeleroInspector().inspect(run.vault, draft.artefacts, draft.details)
    assert [check.detail for check in found.checks if not check.passed] == []
    assert found.counts == draft.counts
    assert [(one.sha256, one.crc32c) for one in found.artefacts] == [
        (one.sha256, one.crc32c) for one in draft.artefacts
    ]
    assert draft.as_of == START
    assert len(draft.artefacts) == len(Made("b").files())
    assert all(one.name.startswith(f"data/{slot().id}/1/backups/") for one in draft.artefacts)


def test_the_backup_means_named_and_labelled_namespaces_but_no_contained_copy() -> None:
    here = world()
    copied = {"name": "drill-tenant-1", "labels": {"tenant": "true", LABEL_PLAN: "p"}}
    here.kube.put("v1/namespaces", "", {"metadata": copied})
    run = Run(here, namespaceSelector={"tenant": "true"}).until("request")
    asked = here.kube.get(BACKUPS, here.fake.requested[0], "velero")
    assert mapping(asked, "spec")["includedNamespaces"] == ["app", "tenant-1"]
    assert run.context.outcomes["select"]["namespaces"] == ["app", "tenant-1"]


def test_a_named_namespace_that_is_gone_fails_before_anything_is_requested() -> None:
    here = world()
    assert "namespace lost" in Run(here, namespaces=["app", "lost"]).fails(BACKUP_FAILED)
    assert here.fake.requested == []


def test_a_kill_between_request_and_journal_gives_one_backup() -> None:
    """I3, I4: the step runs again, and finds what it did."""
    here = world()
    run = Run(here).until("select")
    first = run.steps()["request"].run(run.context)
    second = run.steps()["request"].run(run.context)
    assert first == second
    assert len(here.fake.requested) == 1


class LostReply(FakeKube):
    """The first create happens, but its reply is lost."""

    lost = False

    def create(self, resource: Resource, body: KubeObject, namespace: str = "") -> KubeObject:
        made = super().create(resource, body, namespace)
        if str(resource) == "backups.velero.io" and not self.lost:
            self.lost = True
            raise DrError(UNREACHABLE, "the connection broke")
        return made


def test_a_lost_reply_gives_one_backup() -> None:
    here = world()
    kube = LostReply()
    kube.objects, kube.on_create = here.kube.objects, here.kube.on_create
    run = Run(World(kube, here.bucket, here.fake, type(here.velero)(kube, here.velero.open_bucket, "velero", "gcp")))
    run.until("request")
    assert kube.lost
    assert len(here.fake.requested) == 1


def test_a_new_attempt_makes_a_new_backup() -> None:
    here = world()
    first, second = Run(here).until("request"), Run(here)
    second.context.attempt = 2
    second.until("request")
    assert len(set(here.fake.requested)) == 2
    assert first.context.outcome("request") != second.context.outcome("request")


def test_somebody_elses_backup_of_that_name_is_a_conflict() -> None:
    here = world()
    name = str(Run(here).until("request").context.outcome("request")["backup"])
    found = here.kube.objects[("velero.io/v1/backups", "velero", name)]
    found["metadata"] = {**mapping(found, "metadata"), "annotations": {"dr/slot": "other"}}
    assert name in Run(here).fails(CONFLICT)


@pytest.mark.parametrize("phase", ["PartiallyFailed", "Failed", "FailedValidation", "Deleting"])
def test_any_end_but_completed_fails_with_what_velero_says(phase: str) -> None:
    here = world()
    here.fake.phase = phase
    errors = {"errors": {"velero": ["disk is gone"], "namespaces": {"app": ["no rights"]}}, "warnings": {}}
    here.fake.drop = lambda files: files.update(
        {name: gzip.compress(json.dumps(errors).encode()) for name in files if name.endswith("-results.gz")}
    )
    said = Run(here).fails(BACKUP_FAILED)
    assert phase in said
    assert "disk is gone; app: no rights" in said


@pytest.mark.parametrize(
    "phase", ["New", "InProgress", "WaitingForPluginOperations", "Finalizing", "FinalizingPartiallyFailed"]
)
def test_a_backup_that_stays_in_a_phase_on_the_way_times_out_at_the_strategys_deadline(phase: str) -> None:
    here = world()
    here.fake.phase = phase
    assert f"is still {phase} after 30 s" in Run(here, deadline="30s").fails(TIMED_OUT)


def test_a_phase_on_the_way_is_followed_to_the_end() -> None:
    here = world()
    here.fake.phase = "Finalizing"
    run = Run(here).until("request")
    name = here.fake.requested[0]

    def finalise() -> None:
        here.kube.objects[("velero.io/v1/backups", "velero", name)]["status"] = Made(name).metadata()["status"]

    here.kube.on_idle = finalise
    assert run.steps()["follow"].run(run.context)["started"] == "2026-01-02T03:04:05Z"


def test_a_backup_deleted_while_it_is_followed_fails() -> None:
    here = world()
    run = Run(here).until("request")
    here.kube.delete(BACKUPS, here.fake.requested[0], "velero")
    with pytest.raises(DrError, match="deleted or replaced"):
        run.steps()["follow"].run(run.context)


@pytest.mark.parametrize(
    "end", [".tar.gz", "-resource-list.json.gz", "-volumeinfo.json.gz", "-logs.gz", "-backup.json"]
)
@pytest.mark.parametrize("fault", ["missing", "empty"])
def test_completed_with_a_missing_or_empty_artefact_fails_and_names_it(end: str, fault: str) -> None:
    here = world()

    def bend(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.endswith(end))
        if fault == "missing":
            del files[name]
        else:
            files[name] = b""

    here.fake.drop = bend
    said = Run(here).fails(BACKUP_FAILED)
    assert end in said
    assert f"is {fault}" in said


def test_an_upload_that_comes_after_completed_is_waited_for() -> None:
    here = world()
    late: dict[str, bytes] = {}

    def hold(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.endswith(".tar.gz"))
        late[name] = files.pop(name)

    here.fake.drop = hold
    run = Run(here).until("follow")
    clock = run.context.clock
    name = here.fake.requested[0]

    class Uploading(type(clock)):  # type: ignore[misc]
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            for file, data in late.items():
                here.bucket.put(f"backups/{name}/{file}", data)

    run.source = VeleroSource(run.source.spec, here.velero, Uploading())
    assert any(".tar.gz" in str(one) for one in list(run.steps()["copy"].run(run.context)["artefacts"]))  # type: ignore[call-overload]


def test_a_skipped_volume_fails_the_run_by_name_unless_excluded() -> None:
    here = world()

    def skip(made: Made) -> None:
        made.world, made.volumes = (*WORLD, PVC), [SKIPPED]

    here.fake.bend = skip
    assert "app/data (no snapshotter)" in Run(here).fails(BACKUP_FAILED)
    run = Run(here, excludeVolumes=["app/d*"])
    run.context.attempt = 2
    draft = run.until().source.draft(run.context.outcomes)
    assert [volume["reason"] for volume in draft.details["volumes"]] == ["no snapshotter"]  # type: ignore[index, attr-defined]


def test_a_copy_cut_short_by_a_crash_is_finished_by_the_next_run() -> None:
    run = Run(world()).until("follow")
    whole = run.steps()["copy"].run(run.context)
    for info in list(run.vault.list()):
        if info.name.endswith((".tar.gz", "-logs.gz")):
            run.vault.delete(info.name, generation=info.generation)
    again = run.steps()["copy"].run(run.context)
    names = [[name_of({"metadata": one}) for one in outcome["artefacts"]] for outcome in (whole, again)]  # type: ignore[attr-defined]
    assert names[0] == names[1]


def test_a_strategy_that_means_no_namespace_is_refused() -> None:
    assert "names no namespace" in Run(world(), namespaces=[]).fails(CONFIGURATION)


def test_check_names_what_is_not_there() -> None:
    here = world()
    checks = {check.name: check for check in Run(here, namespaces=["app", "lost"]).source.check()}
    assert not checks["namespaces"].passed
    assert "lost" in checks["namespaces"].detail
    assert not checks["velero server"].passed
    assert checks["storage location gcp"].passed
    assert checks["rbac"].passed
