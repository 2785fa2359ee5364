"""Restoring a cluster: contained, from what was committed, and gone without a trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dr.components.cluster.comparing import fingerprint
from dr.components.cluster.containing import POLICY
from dr.components.cluster.holding import excluded_kinds, modifiers
from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.layout import BACKUPS, LABEL_PLAN, LOCATIONS, RESTORES
from dr.components.cluster.restorer import VeleroRestorer
from dr.errors import DAMAGED, RESTORE_FAILED, TARGET_EXISTS, TARGET_PROTECTED, TIMED_OUT, DrError, ErrorKind
from dr.model.plans import Target
from dr.model.points import Artefact, PointManifest
from dr.model.strategy import FailureDomain
from dr.ports import RestoreWork, Step
from dr.stores.memory import MemoryStore
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    Resource,
    labels_of,
    mapping,
    name_of,
)
from tests.unit.test_velero_capture import Run
from tests.unit.velero_world import START, WORLD, Context, World, slot, spec, world

CUTOVER = {"namespace": "app", "configMap": "config", "key": "DATABASE", "workload": "web"}
DRILL = Target(isolated=True, prefix="drill-")


def captured(here: World) -> tuple[PointManifest, MemoryStore]:
    run = Run(here).until()
    draft = run.source.draft(run.context.outcomes)
    artefacts = VeleroInspector().inspect(run.vault, draft.artefacts, draft.details).artefacts
    details = json.loads(json.dumps(draft.details))
    manifest = PointManifest(
        slot(), 1, "velero", START, START, START, artefacts, draft.counts, (), (FailureDomain.LOGICAL,),
        datetime(2030, 1, 1, tzinfo=UTC), "test", details=details,
    )  # fmt: skip
    return manifest, run.vault


class Work:
    """One restore, step by step, on a Velero that brings back the captured world."""

    def __init__(self, here: World, target: Target = DRILL, **siblings: str) -> None:
        self.here, self.context = here, Context()
        self.manifest, self.vault = captured(here)
        self.restorer = VeleroRestorer(here.velero, self.context.clock, healthy_s=30)
        self.siblings = {f"appdata.{key}": value for key, value in siblings.items()}
        self.target = target
        made = here.kube.on_create

        def on_create(resource: Resource, body: dict[str, object]) -> None:
            made(resource, body)
            if str(resource) == "restores.velero.io":
                self.bring_back(mapping(body, "spec", "namespaceMapping"))

        here.kube.on_create = on_create

    def bring_back(self, renamed: Mapping[str, object]) -> None:
        for _, body in WORLD:
            metadata = mapping(body, "metadata")
            space = str(metadata.get("namespace", ""))
            if body["kind"] in ("ConfigMap", "Secret", "Deployment"):
                path = {"ConfigMap": "v1/configmaps", "Secret": "v1/secrets", "Deployment": "apps/v1/deployments"}
                there = str(renamed.get(space, space))
                copy = {
                    **json.loads(json.dumps(body)),
                    "metadata": {"name": name_of(body), "namespace": there, "generation": 1},
                }
                if body["kind"] == "Deployment":
                    copy.update(spec={"replicas": 0}, status={})
                self.here.kube.put(path[str(body["kind"])], there, copy)

    def works(self) -> None:
        """Deployments become ready as soon as they are asked to."""
        for (path, _, _), body in self.here.kube.objects.items():
            if path == "apps/v1/deployments":
                count = mapping(body, "spec")["replicas"]
                keys = ("updatedReplicas", "readyReplicas", "availableReplicas")
                body["status"] = {"observedGeneration": 1, **dict.fromkeys(keys, count)}

    @property
    def work(self) -> RestoreWork:
        asked = spec(cutover=CUTOVER)
        item = self.restorer.outline(asked, self.manifest, START, FailureDomain.LOGICAL, self.target)
        plain = replace(item, details=json.loads(json.dumps(item.details)))
        return RestoreWork("plan-1", plain, self.manifest, self.vault, self.siblings)

    def steps(self, work: RestoreWork) -> Mapping[str, Step]:
        return {step.name: step for step in self.restorer.steps(work)}

    def run(self, last: str = "release") -> RestoreWork:
        work = self.work
        for name, step in self.steps(work).items():
            self.context.journal(name, step.run(self.context))
            if name == last:
                break
        return work

    def fails(self, kind: ErrorKind) -> str:
        with pytest.raises(DrError) as caught:
            self.run()
        assert caught.value.kind is kind, caught.value
        return caught.value.message


def whole(here: World, **siblings: str) -> tuple[Work, RestoreWork]:
    work = Work(here, **siblings)
    here.kube.on_idle = work.works
    return work, work.run()


def test_a_drill_restores_into_contained_namespaces_and_its_checks_pass() -> None:
    here = world()
    work, done = whole(here)
    checks = work.restorer.checks(done, work.context.outcomes)
    assert [check.detail for check in checks if not check.passed] == []
    policy = here.kube.get(NETWORK_POLICIES, POLICY, "drill-app")
    assert mapping(policy, "spec") == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }
    assert LABEL_PLAN in labels_of(here.kube.get(NAMESPACES, "drill-app"))
    released = here.kube.get(DEPLOYMENTS, "web", "drill-app")
    assert mapping(released, "spec")["replicas"] == 1


def test_the_restored_application_is_pointed_at_the_restored_database_and_contents_undo_that() -> None:
    here = world()
    work, done = whole(here, database="restored-db")
    assert mapping(here.kube.get(CONFIG_MAPS, "config", "drill-app"), "data") == {"DATABASE": "restored-db"}
    items = work.restorer.contents(done, work.context.outcomes)
    (item,) = [one for one in items if "/ConfigMap/" in one.path]
    assert (item.path, item.sha256) == ("app/ConfigMap/config", fingerprint({"data": {"DATABASE": "live"}}))
    assert work.steps(done)["rewire"].after == ("appdata",)


def test_what_the_copy_named_before_is_known_after_a_kill_between_change_and_journal() -> None:
    here = world()
    work, done = whole(here, database="restored-db")
    first = work.context.outcomes.pop("rewire")
    work.context.outcomes["rewire"] = work.steps(done)["rewire"].run(work.context)
    assert work.context.outcomes["rewire"] == first
    assert first["was"] == "live"


def test_without_a_restored_database_the_config_map_stays_as_in_the_backup() -> None:
    here = world()
    work, done = whole(here)
    assert mapping(here.kube.get(CONFIG_MAPS, "config", "drill-app"), "data") == {"DATABASE": "live"}
    assert work.steps(done)["rewire"].after == ()


def test_a_second_run_of_every_step_changes_nothing() -> None:
    """I6: as after a kill at any journalled step."""
    here = world()
    work = Work(here)
    here.kube.on_idle = work.works
    done = work.work
    for name, step in work.steps(done).items():
        first = step.run(work.context)
        known = set(here.kube.objects)
        assert step.run(work.context) == first, name
        assert set(here.kube.objects) == known, name
        work.context.journal(name, first)


def test_a_damaged_artefact_in_the_vault_is_named_and_nothing_is_restored() -> None:
    here = world()
    work = Work(here)
    tarball = next(one for one in work.manifest.artefacts if one.role == "velero/contents")
    info = work.vault.stat(tarball.name)
    assert info
    bent = work.vault.put(tarball.name, b"x" + work.vault.get(tarball.name)[1:], if_generation=info.generation)
    changed = [replace(one, generation=bent.generation) if one is tarball else one for one in work.manifest.artefacts]
    work.manifest = replace(work.manifest, artefacts=tuple(changed))
    assert tarball.name in work.fails(DAMAGED)
    assert here.kube.list(RESTORES, "velero").items == []


def test_staging_renames_the_backup_and_drops_its_expiry() -> None:
    here = world()
    work = Work(here)
    work.run("import-backup")
    name = str(work.context.outcome("stage")["backup"])
    files = {info.name.rpartition("/")[2] for info in here.bucket.list(f"restores/{name}/backups/{name}/")}
    assert {f"{name}.tar.gz", "velero-backup.json", f"{name}-resource-list.json.gz"} <= files
    backup = here.kube.get(BACKUPS, name, "velero")
    assert "expiration" not in mapping(backup, "status")
    location = here.kube.get(LOCATIONS, name, "velero")
    assert mapping(location, "spec")["accessMode"] == "ReadOnly"
    assert mapping(location, "spec", "objectStorage")["prefix"] == f"restores/{name}"


def test_an_isolated_target_that_exists_is_refused() -> None:
    here = world()
    work = Work(here)
    here.kube.put("v1/namespaces", "", {"metadata": {"name": "drill-app"}})
    assert "drill-app exists already" in work.fails(TARGET_EXISTS)


@pytest.mark.parametrize("typed", ["", "somewhere-else", "app"])
def test_living_namespaces_are_refused_unless_a_person_typed_the_clusters_own_name(typed: str) -> None:
    """The name of one namespace must not open all of them."""
    work = Work(world(), Target(isolated=False, protected=typed))
    with pytest.raises(DrError, match="app is alive") as caught:
        _ = work.work
    assert caught.value.kind is TARGET_PROTECTED
    assert "--over test" in caught.value.hint


def test_a_cluster_that_a_person_named_is_written_over() -> None:
    here = world()
    work = Work(here, Target(isolated=False, protected="test"))
    here.kube.on_idle = work.works
    work.run()
    restore = here.kube.list(RESTORES, "velero").items[0]
    assert mapping(restore, "spec")["existingResourcePolicy"] == "update"
    assert mapping(here.kube.get(DEPLOYMENTS, "web", "app"), "spec")["replicas"] == 3


def test_another_clusters_name_updates_nothing() -> None:
    """Where nothing was alive at planning, what comes up in between is left as it is."""
    here = world()
    work = Work(here)
    for name in ("app", "tenant"):
        here.kube.delete(NAMESPACES, name)
    work.target = Target(isolated=False, protected="somewhere-else")
    here.kube.on_idle = work.works
    work.run("restore")
    restore = here.kube.list(RESTORES, "velero").items[0]
    assert mapping(restore, "spec")["existingResourcePolicy"] == "none"


@pytest.mark.parametrize("phase", ["PartiallyFailed", "Failed", "FailedValidation"])
def test_a_velero_restore_that_did_not_complete_fails(phase: str) -> None:
    here = world()
    work = Work(here)
    here.fake.phase = phase
    assert phase in work.fails(RESTORE_FAILED)


def test_an_application_that_never_gets_ready_times_out_and_says_why() -> None:
    assert "web is not healthy after 30 s: no Pod was created" in Work(world()).fails(TIMED_OUT)


def test_checks_name_an_object_that_did_not_come_back() -> None:
    here = world()
    work, done = whole(here)
    here.kube.delete(Resource("", "v1", "secrets"), "secret", "drill-app")
    checks = {check.name: check for check in work.restorer.checks(done, work.context.outcomes)}
    assert not checks["restored objects"].passed
    assert "secrets drill-app/secret" in checks["restored objects"].detail


def test_a_bare_pod_is_missing_because_nothing_makes_it_anew() -> None:
    here = world()
    work = Work(here)
    assert "pods" in excluded_kinds(True, False)
    here.kube.on_idle = work.works
    done = work.run()
    checks = work.restorer.checks(done, work.context.outcomes)
    assert "1 (pods): made anew by its controller" in str(checks)


def test_teardown_removes_what_was_made_and_nothing_else() -> None:
    here = world()
    before = set(here.kube.objects)
    objects = {info.name for info in here.bucket.list()}
    work, done = whole(here)
    made_by_capture = {key for key in here.kube.objects if key[0].endswith("/backups") and not key[2].endswith("-test")}
    assert all(check.passed for check in work.restorer.teardown(done, work.context.outcomes))
    left = {key for key in here.kube.objects if key[1] != "drill-app"}
    assert left == before | made_by_capture
    assert not [info.name for info in here.bucket.list("restores/")]
    assert objects <= {info.name for info in here.bucket.list()}


def test_teardown_of_a_restore_that_died_early_finds_what_was_not_journalled() -> None:
    here = world()
    work = Work(here)
    done = work.run("restore")
    checks = work.restorer.teardown(done, {})
    assert all(check.passed for check in checks)
    assert here.kube.get(NAMESPACES, "drill-app") is None
    assert here.kube.list(RESTORES, "velero").items == []


def test_teardown_leaves_a_namespace_with_another_uid_alone() -> None:
    here = world()
    work, done = whole(here)
    outcomes = dict(work.context.outcomes)
    outcomes["contain"] = {"namespaces": [{"name": "drill-app", "uid": "another"}]}
    work.restorer.teardown(done, outcomes)
    assert here.kube.get(NAMESPACES, "drill-app") is not None


def test_a_teardown_that_leaves_something_fails() -> None:
    """I9."""
    here = world()
    work, done = whole(here)
    here.kube.kept.add("drill-app")
    failed = [check for check in work.restorer.teardown(done, work.context.outcomes) if not check.passed]
    assert [check.name for check in failed] == ["namespaces drill-app"]


def test_a_real_restore_keeps_its_namespaces_when_the_machinery_is_cleared_away() -> None:
    here = world()
    work = Work(here, Target(isolated=False, protected="test"))
    here.kube.on_idle = work.works
    done = work.run()
    assert all(check.passed for check in work.restorer.teardown(done, work.context.outcomes))
    assert here.kube.get(NAMESPACES, "app") is not None
    assert here.kube.get(DEPLOYMENTS, "web", "app") is not None


def test_nothing_runs_and_nothing_is_reachable_before_release() -> None:
    rules = json.loads(modifiers(isolated=True, native_snapshots=False))["resourceModifierRules"]
    by_kind = {rule["conditions"]["groupResource"]: json.loads(rule["mergePatches"][0]["patchData"]) for rule in rules}
    assert by_kind["deployments.apps"] == by_kind["statefulsets.apps"] == {"spec": {"replicas": 0}}
    assert by_kind["cronjobs.batch"] == by_kind["jobs.batch"] == {"spec": {"suspend": True}}
    assert by_kind["persistentvolumeclaims"] == {"spec": {"volumeName": None}}
    held = set(excluded_kinds(isolated=True, native_snapshots=False))
    wanted = {
        "ingresses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "pods",
        "daemonsets.apps",
        "persistentvolumes",
    }
    assert wanted <= held
    assert "persistentvolumes" not in excluded_kinds(isolated=True, native_snapshots=True)
    assert "ingresses.networking.k8s.io" not in excluded_kinds(isolated=False, native_snapshots=False)


def test_every_artefact_of_a_point_has_a_place_of_its_own_when_staged() -> None:
    work = Work(world())
    work.run("stage")
    artefacts: tuple[Artefact, ...] = work.manifest.artefacts
    assert work.context.outcome("stage")["objects"] == len(artefacts)
