"""Living namespaces gone over by Velero: what was written since is told, and an undo removes just what the restore made."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dr.components.cluster.fencing import NOTE
from dr.components.cluster.guarding import ClusterGuard
from dr.errors import NOT_AUTHORISED, RESTORE_FAILED, DrError
from dr.model.plans import Target
from dr.ports import RestoreWork, Step
from dr.vendors.kubernetes_objects import Resource
from tests.unit.test_velero_capture import Run
from tests.unit.test_velero_restore import Work, captured
from tests.unit.velero_world import WORLD, Context, Made, World, item, world

OVER = Target(isolated=False, protected="test")
LATER = item("v1/ConfigMap", "configmaps", "app", "later", data={})


def fenced() -> tuple[str, dict[str, object]]:
    """The Deployment of the world, as a backup behind the fence has it."""
    note = json.dumps({"by": "plan-1", "replicas": 3, "ready": 3})
    spec = {"replicas": 0}
    return item("apps/v1/Deployment", "deployments", "app", "web", metadata={"annotations": {NOTE: note}}, spec=spec)


def behind_the_fence(made: Made) -> None:
    changed = item("v1/ConfigMap", "configmaps", "app", "config", data={"DATABASE": "other"})
    kept = [one for one in WORLD if one[1]["kind"] not in ("ConfigMap", "Secret", "Deployment")]
    made.world = [*kept, changed, LATER, fenced()]


def test_what_was_written_since_is_told_and_the_fence_is_not_part_of_it() -> None:
    here = world()
    work = Work(here, OVER)
    planned = work.work
    later = world()
    later.fake.bend = behind_the_fence
    undo, vault = captured(later)
    # in the vault of the other, under names of its own
    for one in undo.artefacts:
        work.vault.put(f"undo/{one.name}", vault.get(one.name))
    artefacts = tuple(replace(one, name=f"undo/{one.name}", generation=0) for one in undo.artefacts)
    found = ClusterGuard(here.velero).salvage(planned, replace(undo, artefacts=artefacts))
    assert {(one.path.rpartition("/")[2], one.why) for one in found} == {
        ("config", "changed"), ("later", "newer"), ("secret", "deleted"),
    }  # fmt: skip


def undoing(here: World) -> tuple[RestoreWork, Step]:
    """The undo of a restore `made-1`, and its step that removes what that one made."""
    work = Work(here, OVER).work
    kinds = [{"group": "", "version": "v1", "plural": "configmaps"}]
    details = {**work.item.details, "undo_of": "plan-1", "restores": ["made-1"], "kinds": kinds}
    found = replace(work, plan_id="plan-1-undo", item=replace(work.item, details=details))
    keep = Step("salvage", lambda _: {})
    steps = ClusterGuard(here.velero).around(found, (), keep, keep)
    return found, next(step for step in steps if step.name == "remove-added")


def put(here: World, name: str, restore: str) -> None:
    here.kube.put("v1/configmaps", "app", {"metadata": {"name": name, "labels": {"velero.io/restore-name": restore}}})


def test_an_undo_removes_what_the_restore_made_and_nothing_else() -> None:
    here = world()
    put(here, "added", "made-1")
    put(here, "config", "made-1")
    put(here, "of-another", "made-0")
    _, remove = undoing(here)
    assert remove.run(Context()) == {"removed": ["configmaps/app/added"]}
    left = {name for path, space, name in here.kube.objects if (path, space) == ("v1/configmaps", "app")}
    assert left == {"config", "of-another"}, "one was there before, the other is of another restore"
    assert remove.run(Context()) == {"removed": []}


def test_what_may_not_be_removed_is_named() -> None:
    here = world()
    put(here, "added", "made-1")
    _, remove = undoing(here)

    def refuse(resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        raise DrError(NOT_AUTHORISED, "forbidden")

    here.kube.delete = refuse  # type: ignore[method-assign]
    with pytest.raises(DrError, match="configmaps/app/added", check=lambda error: error.kind is RESTORE_FAILED):
        remove.run(Context())


def test_a_restore_that_undoes_nothing_removes_nothing() -> None:
    here = world()
    keep = Step("salvage", lambda _: {})
    steps = ClusterGuard(here.velero).around(Work(here, OVER).work, (), keep, keep)
    assert [step.name for step in steps] == ["salvage", "salvage"]


def test_a_point_remembers_whose_its_namespaces_were() -> None:
    here = world()
    labels = {"tenant": "true", "whose": "t-1"}
    here.kube.put("v1/namespaces", "", {"metadata": {"name": "tenant-1", "labels": labels}})
    run = Run(here, namespaceSelector={"tenant": "true"}, tenantLabel="whose")
    assert run.steps()["select"].run(run.context)["tenants"] == {"tenant-1": "t-1"}
