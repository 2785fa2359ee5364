"""Configuration brought back: decided first, in order of need, contained where it is a copy, never more than was named."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.components.cluster.names import Names
from dr.components.config.comparing import compared, differences, patch_between
from dr.components.config.deciding import Act, Rules
from dr.components.config.evidence import scaled
from dr.components.config.living import LivingConfig, content_digest
from dr.components.config.normal import normalised
from dr.components.config.ordering import batches, rank
from dr.components.config.reading import coverage
from dr.components.config.restorer import ConfigRestorer
from dr.components.config.source import ConfigSource
from dr.components.config.state import ObjectKey
from dr.components.config.targets import Form
from dr.errors import NOT_FOUND, RESTORE_FAILED, TARGET_EXISTS, TARGET_PROTECTED, DrError
from dr.model.plans import Target
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain
from dr.ports import Json, RestoreWork
from tests.unit.config_world import RBAC, Body, World, config_map, merged, secret, spec
from tests.unit.fakes import FakeContext
from tests.unit.test_config_log import packed

DRILL = Target(isolated=True, prefix="drill-1-")
OVER = Target(isolated=False, protected="prod")
BINDINGS = f"rolebindings.{RBAC}"
FLUX = "kustomizations.kustomize.toolkit.fluxcd.io"


def world() -> World:
    """One of everything that containment changes."""
    here = World()
    open_to_all = {"type": "LoadBalancer", "externalIPs": ["1.2.3.4"], "ports": [{"port": 80, "nodePort": 30080}]}
    here.api.put("services", {"metadata": {"name": "gate", "namespace": "app"}, "spec": open_to_all})
    here.api.put("deployments.apps", {"metadata": {"name": "web", "namespace": "app"}, "spec": {"replicas": 3}})
    here.api.put(BINDINGS, {"metadata": {"name": "b", "namespace": "app"}, "roleRef": {"name": "edit"},
                            "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "app"}]})  # fmt: skip
    here.api.put(f"clusterroles.{RBAC}", {"metadata": {"name": "wide"}, "rules": [{"verbs": ["*"]}]})
    here.api.put(FLUX, {"metadata": {"name": "apps", "namespace": "app"}, "spec": {"path": "./"}})
    here.catch_up()
    here.clock.advance(10)
    return here


class Restore:
    """One restore of the log's end (or of an origin), step by step."""

    def __init__(self, here: World, target: Target = DRILL, **siblings: str) -> None:
        self.here, self.target = here, target
        self.context = FakeContext(clock=here.clock)
        self.restorer = ConfigRestorer(here.api, lambda: here.sealer, lambda: here.vault, here.clock, "config-log")
        self.siblings = {f"appdata.{key}": value for key, value in siblings.items()}

    @property
    def covered(self) -> Coverage:
        return coverage(spec(), self.here.vault, (FailureDomain.LOGICAL,))[-1]

    def planned(self, **options: object) -> RestoreWork:
        origin = self.covered
        item = self.restorer.outline(spec(**options), origin, origin.end, FailureDomain.LOGICAL, self.target)
        self.item = item
        return RestoreWork("plan-1", item, None, self.here.vault, self.siblings)

    def run(self, work: RestoreWork | None = None) -> RestoreWork:
        found = work or self.planned()
        for step in self.restorer.steps(found):
            self.context.outcomes[step.name] = json.loads(json.dumps(step.run(self.context)))
        return found

    def contents(self, work: RestoreWork) -> Mapping[str, str]:
        return {one.path: one.sha256 for one in self.restorer.contents(work, self.context.outcomes)}

    def checks(self, work: RestoreWork) -> Mapping[str, bool]:
        return {check.name: check.passed for check in self.restorer.checks(work, self.context.outcomes)}


def stored(here: World, kind: str, namespace: str, name: str) -> Body:
    return here.api.objects[kind, namespace, name]


def as_planned(here: World) -> Mapping[str, str]:
    """What lives, under its hashes."""
    living = LivingConfig(lambda chosen: ConfigSource(here.follower()), here.clock)
    return {one.path: one.sha256 for one in living.read(spec(), here.clock.now())}


# --- a contained copy


def test_a_copy_holds_what_the_log_says_and_can_do_nothing() -> None:
    here = world()
    before = {key: json.dumps(body) for key, body in here.api.objects.items()}
    restore = Restore(here)
    work = restore.run()
    spaces = "drill-1-c-app", "drill-1-c-tenant-1"
    assert {key: json.dumps(here.api.objects[key]) for key in before} == before
    assert {space for _, space, _ in here.api.objects if space.startswith("drill")} == {*spaces}
    assert stored(here, "deployments.apps", spaces[0], "web")["spec"]["replicas"] == 0
    assert stored(here, FLUX, spaces[0], "apps")["spec"]["suspend"] is True
    gate = stored(here, "services", spaces[0], "gate")["spec"]
    assert (gate["type"], gate["ports"], "externalIPs" in gate) == ("ClusterIP", [{"port": 80}], False)
    assert stored(here, BINDINGS, spaces[0], "b")["subjects"][0]["namespace"] == spaces[0]
    assert stored(here, "networkpolicies.networking.k8s.io", spaces[0], "dr-contain")["spec"]["egress"] == []
    assert not [key for key in here.api.objects if key[0].startswith("clusterroles") and key[2] != "wide"]
    assert all(restore.checks(work).values())
    assert restore.contents(work) == as_planned(here)


def test_a_copy_is_gone_without_a_trace_and_only_a_copy() -> None:
    here = world()
    before = set(here.api.objects)
    restore = Restore(here)
    work = restore.run()
    assert all(check.passed for check in restore.restorer.teardown(work, restore.context.outcomes))
    assert set(here.api.objects) == before
    over = Restore(here, OVER)
    assert over.restorer.teardown(over.run(), over.context.outcomes) == ()
    assert set(here.api.objects) == before


def test_teardown_leaves_a_namespace_that_is_not_the_journalled_one() -> None:
    here = world()
    restore = Restore(here)
    work = restore.run()
    labels = stored(here, "namespaces", "", "drill-1-c-app")["metadata"]["labels"]
    here.api.drop("namespaces", "drill-1-c-app")
    here.api.put("namespaces", {"metadata": {"name": "drill-1-c-app", "labels": labels}})
    restore.restorer.teardown(work, restore.context.outcomes)
    assert ("namespaces", "", "drill-1-c-app") in here.api.objects


def test_what_differs_in_the_copy_is_found() -> None:
    here = world()
    restore = Restore(here)
    work = restore.run()
    here.api.put("configmaps", config_map("drill-1-c-app", "settings", level="wrong"))
    here.api.put("pods", {"metadata": {"name": "p", "namespace": "drill-1-c-app"}})
    found = {check.name: check for check in restore.restorer.checks(work, restore.context.outcomes)}
    assert "app/configmaps/settings differs at data.level" in found["objects equal to the log"].detail
    assert not found["objects equal to the log"].passed
    assert not found["nothing runs in the copy"].passed
    assert restore.contents(work)["app/configmaps/settings"] != as_planned(here)["app/configmaps/settings"]


def test_a_copy_needs_namespaces_of_its_own() -> None:
    here = world()
    here.api.put("namespaces", {"metadata": {"name": "drill-1-c-app"}})
    with pytest.raises(DrError) as caught:
        Restore(here).planned()
    assert caught.value.kind is TARGET_EXISTS


# --- over what lives


def broken(here: World) -> None:
    """A bad release: one of each kind of harm."""
    here.api.put("configmaps", config_map("app", "settings", level="debug", extra="1"))
    here.api.put("secrets", secret("app", "keys", token="cm90YXRlZA=="))
    here.api.drop(BINDINGS, "b", "app")
    here.api.put("configmaps", config_map("app", "newer"))


def test_over_the_living_only_when_the_cluster_was_named() -> None:
    here = world()
    with pytest.raises(DrError) as caught:
        Restore(here, Target(isolated=False)).planned()
    assert caught.value.kind is TARGET_PROTECTED
    assert not here.api.applied


def test_a_rotated_secret_and_what_is_newer_stay_unless_named() -> None:
    here = world()
    broken(here)
    restore = Restore(here, OVER)
    work = restore.run()
    assert stored(here, "configmaps", "app", "settings")["data"] == {"level": "info"}
    assert stored(here, BINDINGS, "app", "b")["roleRef"] == {"name": "edit"}
    assert stored(here, "secrets", "app", "keys")["data"] == {"token": "cm90YXRlZA=="}
    assert ("configmaps", "app", "newer") in here.api.objects
    said = " ".join(restore.item.reasons)
    assert "1 left as they live (a Secret" in said
    assert "app/secrets/keys" in said
    assert "1 were made after the instant and are left" in said
    checks = {check.name: check.detail for check in restore.restorer.checks(work, restore.context.outcomes)}
    assert "--secret app/keys" in checks["left as they live"]
    assert "app/configmaps/newer" in checks["newer than the instant"]


def test_named_they_go_back() -> None:
    here = world()
    broken(here)
    restore = Restore(here, Target(isolated=False, protected="prod", named=("secret:app/keys", "newer")))
    work = restore.run()
    assert stored(here, "secrets", "app", "keys")["data"] == {"token": "aHVudGVyMg=="}
    assert ("configmaps", "app", "newer") not in here.api.objects
    assert restore.context.outcomes["newer"] == {"deleted": ["app/configmaps/newer"]}
    assert all(restore.checks(work).values())


def test_a_named_secret_that_was_not_there_is_refused() -> None:
    with pytest.raises(DrError) as caught:
        Restore(world(), Target(isolated=False, protected="prod", named=("secret:app/nothing",))).planned()
    assert caught.value.kind is NOT_FOUND


def test_in_a_lost_namespace_everything_comes_back_without_being_named() -> None:
    here = world()
    for name in ("app", "tenant-1"):
        here.api.delete(here.api.served_kinds["namespaces"], name)
    here.api.put(f"clusterroles.{RBAC}", {"metadata": {"name": "wide"}, "rules": []})
    restore = Restore(here, Target(isolated=False))
    work = restore.planned()
    # another restore of the same plan was first, with an older Secret
    here.api.put("namespaces", {"metadata": {"name": "app"}})
    here.api.put("secrets", secret("app", "keys", token="b2xk"))
    restore.run(work)
    assert stored(here, "secrets", "app", "keys")["data"] == {"token": "aHVudGVyMg=="}
    assert stored(here, "namespaces", "", "app")["metadata"]["labels"] == {"team": "core"}
    # what belongs to the whole cluster lives, and nobody named it
    assert stored(here, f"clusterroles.{RBAC}", "", "wide")["rules"] == []


def test_the_database_restored_beside_it_stays_cut_over() -> None:
    here = world()
    cut = {"namespace": "app", "configMap": "settings", "key": "level", "workload": "web"}
    restore = Restore(here, DRILL, database="restored-7")
    work = restore.run(restore.planned(cutover=cut))
    assert stored(here, "configmaps", "drill-1-c-app", "settings")["data"] == {"level": "restored-7"}
    assert restore.contents(work)["app/configmaps/settings"] == as_planned(here)["app/configmaps/settings"]


def test_a_second_run_of_every_step_changes_nothing() -> None:
    here = world()
    broken(here)
    restore = Restore(here, OVER)
    work = restore.run()
    applied = len(here.api.applied)
    restore.run(work)
    assert len(here.api.applied) == applied


def test_a_pack_alone_brings_back_the_same() -> None:
    here = world()
    manifest = packed(here)
    restore = Restore(here)
    restorer = ConfigRestorer(here.api, lambda: here.sealer, lambda: here.vault, here.clock, "config-pack")
    item = restorer.outline(spec(), manifest, manifest.as_of, FailureDomain.LOGICAL, DRILL)
    work = RestoreWork("plan-1", item, manifest, here.vault)
    restore.restorer = restorer
    restore.run(work)
    assert restore.contents(work) == as_planned(here)


def test_what_the_server_refuses_is_named_at_the_end_and_everything_else_is_there() -> None:
    here = world()
    here.api.refuses = lambda body: "no such luck" if body["metadata"]["name"] == "web" else ""  # type: ignore[index]
    restore = Restore(here)
    with pytest.raises(DrError) as caught:
        restore.run()
    assert caught.value.kind is RESTORE_FAILED
    assert "app/deployments.apps/web: no such luck" in caught.value.message
    assert stored(here, FLUX, "drill-1-c-app", "apps")["spec"]["path"] == "./"


# --- pure


def test_what_others_need_comes_first() -> None:
    kinds = ["kustomizations.kustomize.toolkit.fluxcd.io", "horizontalpodautoscalers.autoscaling", "deployments.apps",
             "gitrepositories.source.toolkit.fluxcd.io", "widgets.example.com", "services", "secrets", BINDINGS,
             f"roles.{RBAC}", "serviceaccounts", "namespaces"]  # fmt: skip
    assert list(batches([*kinds, "secrets"])) == [
        "namespaces", "serviceaccounts", f"roles.{RBAC}", BINDINGS, "secrets", "services", "deployments.apps",
        "horizontalpodautoscalers.autoscaling", "widgets.example.com", "gitrepositories.source.toolkit.fluxcd.io",
        "kustomizations.kustomize.toolkit.fluxcd.io",
    ]  # fmt: skip
    assert rank("namespaces") < rank("secrets")


leaves = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2)
values = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)
maps = st.dictionaries(st.text("abc", min_size=1, max_size=1), values, max_size=3)
texts = st.dictionaries(st.text("xy", min_size=1, max_size=1), st.text("ab", max_size=1), max_size=2)


def objects(content: Mapping[str, object], labels: Mapping[str, str]) -> Body:
    metadata = {"name": "n", **({"labels": dict(labels)} if labels else {})}
    return {"kind": "ConfigMap", "metadata": metadata, "data": dict(content)}


@given(maps, texts, maps, texts)
def test_after_the_patch_nothing_differs(
    a: Body, a_labels: Mapping[str, str], b: Body, b_labels: Mapping[str, str]
) -> None:
    found, wanted = objects(a, a_labels), objects(b, b_labels)
    after = normalised("configmaps", merged(found, patch_between(found, wanted)))
    assert not differences(wanted, {"kind": "ConfigMap", **after})
    assert bool(differences(wanted, found)) == bool(patch_between(found, wanted))


def test_what_the_server_fills_in_is_no_difference_when_lenient_but_what_others_add_to_data_is() -> None:
    wanted, found = {"kind": "Service", "spec": {"a": 1}}, {"kind": "Service", "spec": {"a": 1, "b": 2}}
    assert differences(wanted, found) == ("spec.b",)
    assert not differences(wanted, found, lenient=True)
    assert compared({"kind": "ConfigMap", "data": {}}, {"kind": "ConfigMap", "data": {"b": "2"}}, lenient=True)
    assert content_digest(wanted) != content_digest(found)


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_what_a_witness_compares_has_labels_and_annotations(part: str) -> None:
    def digest(told: dict[str, str], name: str = "n") -> str:
        return content_digest({"kind": "ConfigMap", "metadata": {"name": name, part: told}, "data": {"a": "1"}})

    assert digest({"team": "core"}) != digest({"team": "other"})
    assert digest({"team": "core"}) != digest({})
    assert digest({"team": "core"}) == digest({"team": "core"}, "other name")


def test_only_what_an_autoscaler_aims_at_may_have_other_replicas() -> None:
    aim: Json = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}}
    state = {ObjectKey("app", "horizontalpodautoscalers.autoscaling", "h"): dict(aim)}
    assert scaled(state) == {ObjectKey("app", "deployments.apps", "web")}


def test_an_isolated_target_never_writes_what_belongs_to_the_cluster() -> None:
    form = Form(Names("p", "", "", "", {"app": "drill-1-app"}, True))
    wide = ObjectKey("", f"clusterroles.{RBAC}", "wide")
    assert form.held_back(wide)
    assert form.place(wide).name == "drill-1-wide"
    assert form.held_back(ObjectKey("app", "widgets.example.com", "w"))
    assert not form.held_back(ObjectKey("app", "configmaps", "c"))


def test_the_rules_of_writing_over() -> None:
    old, new = {"kind": "Secret", "data": {"a": "1"}}, {"kind": "Secret", "data": {"a": "2"}}
    key = ObjectKey("app", "secrets", "s")
    acts = {
        named: Rules(True, frozenset(named), frozenset(), False).decide(key, old, new).act
        for named in ((), ("secret:app/s",), ("secret:*",), ("secret:app/other",))
    }
    assert list(acts.values()) == [Act.LEAVE, Act.CHANGE, Act.CHANGE, Act.LEAVE]
    assert Rules(False, frozenset({"newer"}), frozenset(), False).deletes_newer is False
    assert Rules(True, frozenset({"newer"}), frozenset(), True).deletes_newer is False
    assert Rules(False, frozenset(), frozenset(), False).decide(key, old, None).act is Act.CREATE
    assert Rules(False, frozenset(), frozenset(), False).decide(key, old, dict(old)).act is Act.SAME
