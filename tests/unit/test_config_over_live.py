"""Living configuration gone over: a part of it, Flux held still meanwhile, and what was written since told apart."""

from __future__ import annotations

from dataclasses import replace

from dr.components.config.guarding import ConfigGuard
from dr.model.plans import Target
from dr.ports import RestoreWork
from tests.unit.config_world import RBAC, World, config_map
from tests.unit.fakes import FakeContext
from tests.unit.test_config_log import packed
from tests.unit.test_config_restore import FLUX, Restore, stored, world

TENANT = Target(isolated=False, protected="prod", scope=("tenant:t-1",))
LABEL = "energent.io/tenant-id"


def tenants() -> World:
    """As `world`, with a second tenant, and labels that say whose namespaces they are."""
    here = world()
    for number in (1, 2):
        labels = {"tenant": "true", LABEL: f"t-{number}"}
        here.api.put("namespaces", {"metadata": {"name": f"tenant-{number}", "labels": labels}})
        here.api.put("configmaps", config_map(f"tenant-{number}", "own", level="good"))
    here.catch_up()
    here.clock.advance(10)
    return here


def ruined(here: World) -> None:
    for space in ("tenant-1", "tenant-2"):
        here.api.put("configmaps", config_map(space, "own", level="bad"))
        here.api.put("configmaps", config_map(space, "newer"))
    here.api.put(f"clusterroles.{RBAC}", {"metadata": {"name": "newer"}, "rules": []})


def guard(here: World) -> ConfigGuard:
    return ConfigGuard(here.api, lambda: here.sealer)


def test_one_tenant_goes_back_and_nothing_else_is_written() -> None:
    here = tenants()
    ruined(here)
    before = {key: body for key, body in here.api.objects.items() if "tenant-1" not in (key[1], key[2])}
    restore = Restore(here, replace(TENANT, named=("newer",)))
    restore.run(restore.planned(tenantLabel=LABEL))
    assert stored(here, "configmaps", "tenant-1", "own")["data"] == {"level": "good"}
    assert ("configmaps", "tenant-1", "newer") not in here.api.objects
    assert {key: body for key, body in here.api.objects.items() if "tenant-1" not in (key[1], key[2])} == before


def test_a_namespace_comes_back_under_a_free_name() -> None:
    here = tenants()
    target = Target(isolated=False, names={"tenant-1": "copy"}, scope=("namespace:tenant-1",))
    restore = Restore(here, target)
    restore.run()
    assert stored(here, "configmaps", "copy", "own")["data"] == {"level": "good"}
    assert restore.item.details["namespaces"] == {"tenant-1": "copy"}


def test_flux_is_held_still_and_let_go() -> None:
    here = world()
    work = Restore(here, Target(isolated=False, protected="prod")).planned()
    context = FakeContext(clock=here.clock)
    context.outcomes["survey"] = guard(here).survey(work)
    guard(here).fence(work, context)
    assert stored(here, FLUX, "app", "apps")["spec"]["suspend"] is True
    guard(here).release(work, context)
    found = stored(here, FLUX, "app", "apps")
    assert found["spec"]["suspend"] is False
    assert "dr/fenced" not in found["metadata"].get("annotations", {})


def fenced(here: World, work: RestoreWork) -> None:
    context = FakeContext(clock=here.clock)
    context.outcomes["survey"] = guard(here).survey(work)
    guard(here).fence(work, context)


def test_what_was_written_since_is_told_and_the_fence_is_not_part_of_it() -> None:
    here = tenants()
    restore = Restore(here, Target(isolated=False, protected="prod"))
    work = restore.planned()
    ruined(here)
    fenced(here, work)
    undo = packed(here)
    found = {one.path: one.why for one in guard(here).salvage(work, undo)}
    assert found["tenant-1/configmaps/own"] == "changed"
    assert found["tenant-1/configmaps/newer"] == "newer"
    assert not [path for path in found if "kustomizations" in path], "only the fence changed it"


def test_an_undo_of_what_was_captured_behind_the_fence_lets_flux_go() -> None:
    here = world()
    work = Restore(here, Target(isolated=False, protected="prod")).planned()
    fenced(here, work)
    undoing = replace(
        work, plan_id="plan-1-undo", item=replace(work.item, details={**work.item.details, "undo_of": "plan-1"})
    )
    guard(here).release(undoing, FakeContext(clock=here.clock))
    assert stored(here, FLUX, "app", "apps")["spec"]["suspend"] is False
