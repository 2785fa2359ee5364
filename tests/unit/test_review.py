"""What a restore will do to what lives is said before, read from point and world; and a world that moved stops it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from dr.components.appdata.access import EXPORT
from dr.components.cluster.names import names_of
from dr.components.cluster.reviewing import ClusterReview
from dr.errors import REJECTED, WORLD_MOVED, DrError
from dr.model.graph import PlannedStep, StepKind
from dr.model.plans import RestorePlan, Target
from dr.model.points import Artefact
from dr.model.review import ABSENT, Review
from dr.plan.moved import fingerprint, moved
from dr.ports import RestoreWork
from dr.run.measured import Verified
from dr.run.recipes import history_of, refuse_other_steps, with_steps
from dr.run.restore import RestoreItem
from dr.run.reviewing import refuse_moved, reviewed
from dr.stores.memory import MemoryStore
from tests.unit import config_world
from tests.unit.record_fakes import NOON, FakeRestorer
from tests.unit.test_config_restore import OVER, Restore, stored
from tests.unit.test_config_restore import world as config
from tests.unit.test_restore_run import planned
from tests.unit.test_velero_restore import Work
from tests.unit.velero_world import WORLD, Made, World, item, spec, world

LIVE = Target(isolated=False, protected=spec().id.name)


# --- the cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture
def here() -> World:
    return world()


def cluster_review(here: World, target: Target) -> Review:
    work = Work(here, target)
    return work.restorer.review(work.work)


def test_a_copy_of_a_cluster_creates_and_touches_nothing(here: World) -> None:
    found = cluster_review(here, Target(isolated=True, prefix="drill-"))
    assert found.creates["configmaps"] >= 1
    assert found.changes == found.lost == found.deletes == ()
    assert set(found.world.values()) == {ABSENT}


def test_over_a_living_cluster_what_exists_is_changed_and_what_is_newer_is_lost(here: World) -> None:
    put(here, "ConfigMap", "configmaps", "app", "config", managedFields=[{"time": "2035-01-01T00:00:00Z"}])
    found = cluster_review(here, LIVE)
    assert "configmaps app/config" in found.changes
    assert any(text.startswith("configmaps app/config, changed at 2035") for text in found.lost)
    assert found.world["configmaps app/config"] != ABSENT
    assert "configmaps" not in found.creates or found.creates["configmaps"] < sum(
        "configmaps" in key for key in found.world
    )


CLAIM = item("v1/PersistentVolumeClaim", "persistentvolumeclaims", "app", "data")


def of_point(here: World, *, over: bool) -> Review:
    """Of a point that holds a claim too."""
    work = Work(here, LIVE)
    vault = MemoryStore()
    stored_info = vault.put("contents.tar.gz", Made("b", world=(*WORLD, CLAIM)).tarball())
    artefact = Artefact("contents.tar.gz", "velero/contents", stored_info.size, "", "", stored_info.generation)
    names = replace(names_of(work.work), isolated=False)
    return ClusterReview(here.kube, names, replace(work.manifest, artefacts=(artefact,)), vault, False, over).review()


def test_a_claim_that_exists_keeps_its_data_and_that_is_said(here: World) -> None:
    assert of_point(here, over=True).creates["persistentvolumeclaims"] == 1
    put(here, "PersistentVolumeClaim", "persistentvolumeclaims", "app", "data")
    found = of_point(here, over=True)
    (said,) = [text for text in found.skipped if text.startswith("persistentvolumeclaims app/data")]
    assert "its data stays as it lives" in said
    assert "persistentvolumeclaims app/data" not in found.changes


def test_what_exists_is_skipped_in_silence_unless_somebody_named_the_cluster(here: World) -> None:
    put(here, "ConfigMap", "configmaps", "app", "config")
    found = of_point(here, over=False)
    assert "configmaps app/config: exists, and Velero skips what exists" in found.skipped
    assert found.changes == ()


def test_the_version_of_a_living_object_moves_with_it(here: World) -> None:
    put(here, "ConfigMap", "configmaps", "app", "config", resourceVersion="1")
    before = cluster_review(here, LIVE).world
    put(here, "ConfigMap", "configmaps", "app", "config", resourceVersion="2")
    assert moved(before, cluster_review(here, LIVE).world) == ("configmaps app/config changed",)


def put(here: World, kind: str, plural: str, namespace: str, name: str, **metadata: object) -> None:
    _, body = item(kind, plural, namespace, name)
    found = body["metadata"]
    assert isinstance(found, dict)
    here.kube.put(f"v1/{plural}", namespace, {**body, "metadata": {**found, "uid": f"uid-{name}", **metadata}})


# --- the configuration --------------------------------------------------------------------------------------------------


def test_configuration_is_reviewed_object_by_object() -> None:
    here = config()
    here.api.put("configmaps", config_world.config_map("app", "settings", level="debug"))
    here.api.put("configmaps", config_world.config_map("app", "newer", made="since"))
    here.api.drop("services", "gate", "app")
    restore = Restore(here, OVER)
    found = restore.restorer.review(restore.planned())
    assert found.creates == {"services": 1}
    (changed,) = found.changes
    assert changed == "app/configmaps/settings: data.level"
    assert any("newer was made after the instant and stays" in text for text in found.conflicts)
    assert found.deletes == ()


def test_what_was_made_since_is_deleted_only_when_named_and_then_lost() -> None:
    here = config()
    here.api.put("configmaps", config_world.config_map("app", "newer", made="since"))
    restore = Restore(here, replace(OVER, named=("newer",)))
    found = restore.restorer.review(restore.planned())
    assert [text for text in found.deletes if "newer" in text]
    assert any("newer, made after the instant" in text for text in found.lost)


def test_the_review_is_what_the_restore_does() -> None:
    """Its counts are those that the steps journal."""
    here = config()
    here.api.put("configmaps", config_world.config_map("app", "settings", level="debug"))
    here.api.drop("services", "gate", "app")
    restore = Restore(here, OVER)
    work = restore.planned()
    found = restore.restorer.review(work)
    restore.run(work)
    done: dict[str, int] = {}
    for outcome in restore.context.outcomes.values():
        for act, count in counts_of(outcome).items():
            done[act] = done.get(act, 0) + count
    assert (done.get("create", 0), done.get("change", 0)) == (sum(found.creates.values()), len(found.changes))


def counts_of(outcome: Mapping[str, object]) -> Mapping[str, int]:
    found = outcome.get("counts", {})
    assert isinstance(found, Mapping)
    return found


def test_a_secret_is_told_apart_without_its_content() -> None:
    here = config()
    here.api.put("secrets", config_world.secret("app", "password", value="hunter2"))
    here.catch_up()
    here.clock.advance(10)
    restore = Restore(here, OVER)
    (version,) = [value for key, value in restore.restorer.review(restore.planned()).world.items() if "password" in key]
    body = stored(here, "secrets", "app", "password")["metadata"]
    assert version == f"{body['uid']}/{body['resourceVersion']}"


# --- the world that moved ------------------------------------------------------------------------------------------------


def test_what_moved_is_named() -> None:
    then = {"a": "1", "b": "1", "c": ABSENT, "d": "1"}
    now = {"a": "1", "b": "2", "c": "1", "d": ABSENT, "e": "1"}
    assert moved(then, now) == ("b changed", "c was made", "d is gone", "e was made")
    assert moved({"c": ABSENT}, {}) == ()


@dataclass
class Looking(FakeRestorer):
    """Says what it is told of the world."""

    world_now: Mapping[str, str] | None = None

    def review(self, work: RestoreWork) -> Review:
        return Review(world=self.world_now or {})


def made(restorer: FakeRestorer) -> tuple[RestorePlan, list[RestoreItem]]:
    one = planned("appdata", {"database": "db-2"})
    return RestorePlan("plan-1", NOON, NOON, "sha", (one,)), [
        RestoreItem(one, Verified(restorer, {}), MemoryStore(), None)
    ]


def as_in(plan: RestorePlan, items: Sequence[RestoreItem]) -> list[RestoreItem]:
    return [replace(item, planned=one) for item, one in zip(items, plan.items, strict=True)]


def test_a_plan_is_refused_when_its_world_moved() -> None:
    restorer = Looking(MemoryStore(), world_now={"database db": "uid-1", "database db-2": ABSENT})
    plan, items = made(restorer)
    plan = reviewed(plan, items)
    refuse_moved(plan, as_in(plan, items))
    restorer.world_now = {"database db": "uid-2", "database db-2": "uid-9"}
    with pytest.raises(DrError) as caught:
        refuse_moved(plan, as_in(plan, items))
    assert caught.value.kind is WORLD_MOVED
    assert "database db changed" in caught.value.message
    assert "database db-2 was made" in caught.value.message


def test_the_fingerprint_is_of_the_world_and_not_of_the_plan() -> None:
    restorer = Looking(MemoryStore(), world_now={"database db": "uid-1", "database db-2": ABSENT})
    plan, items = made(restorer)
    first = fingerprint(reviewed(plan, items))
    assert fingerprint(reviewed(replace(plan, id="plan-2", created=NOON + timedelta(hours=1)), items)) == first
    restorer.world_now = {"database db": "uid-2", "database db-2": ABSENT}
    assert fingerprint(reviewed(plan, items)) != first


# --- the steps of a plan ------------------------------------------------------------------------------------------------


def test_a_plan_carries_the_steps_that_will_run() -> None:
    restorer = FakeRestorer(MemoryStore())
    plan, items = made(restorer)
    told = with_steps(plan, items, {})
    assert told.items[0].steps == (PlannedStep("create", StepKind.WRITE), PlannedStep("load", StepKind.WRITE))
    refuse_other_steps(told, as_in(told, items))


def test_a_saved_plan_is_not_applied_by_other_steps_than_were_reviewed() -> None:
    restorer = FakeRestorer(MemoryStore())
    plan, items = made(restorer)
    told = with_steps(plan, items, {})
    restorer.recipe = {"create": (), "drop-all": ()}
    with pytest.raises(DrError, match="other steps than were reviewed") as caught:
        refuse_other_steps(told, as_in(told, items))
    assert caught.value.kind is REJECTED
    refuse_other_steps(plan, items)  # a plan of an older version tells no steps


def test_predictions_come_from_steps_that_ended() -> None:
    from dr.model.ids import SourceId
    from dr.model.samples import ItemTimes, RunKind, StepTime, Timings
    from dr.model.strategy import FailureDomain

    source = SourceId("appdata", "fake", "x")
    steps = (StepTime("create", 4.0), StepTime("load", 60.0, ended=False))
    times = ItemTimes(source, FailureDomain.LOGICAL, EXPORT, "us", 100, 1, steps, 64.0, False)
    history = history_of([Timings("r", RunKind.DRILL, NOON, "1", "lab", (times,))])
    assert history == {(source, EXPORT, "create"): [(100, 4.0)]}
