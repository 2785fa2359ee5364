"""A contained copy: what could act, be reached or open a door outside is held back, and each of that is looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from dr.components.cluster import inert
from dr.components.cluster.containing import policy_spec
from dr.components.cluster.holding import excluded_kinds, modifiers
from dr.components.cluster.names import Names
from dr.components.config.state import ObjectKey
from dr.components.config.targets import Form
from dr.errors import RESTORE_FAILED, DrError
from dr.strategy.schema import VeleroOptions
from dr.vendors.kubernetes_objects import mapping
from tests.unit.velero_world import FakeKube

NAMES = Names("plan-1", "dr-1", "b", "", {"app": "drill-app"}, isolated=True)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REAL = base64.b64encode(b"a real key").decode()


def secret(name: str = "keys", **metadata: object) -> Mapping[str, object]:
    return {"metadata": {"name": name, "namespace": "app", **metadata}, "data": {"billing": REAL, "gateway": REAL}}


def rules_by_kind() -> Mapping[str, list[object]]:
    found: dict[str, list[object]] = {}
    for rule in json.loads(modifiers(isolated=True, native_snapshots=False))["resourceModifierRules"]:
        found.setdefault(rule["conditions"]["groupResource"], []).append(
            json.loads(rule["mergePatches"][0]["patchData"])
        )
    return found


def test_which_secrets_are_external() -> None:
    assert inert.is_external(secret(), ["app/*"])
    assert inert.is_external(secret(labels={inert.MARK: "true"}), [])
    assert inert.is_external(secret(annotations={inert.MARK: "true"}), [])
    assert not inert.is_external(secret(labels={inert.MARK: "false"}), ["other/*", "app/key"])


def test_what_is_journalled_of_a_credential_is_its_name() -> None:
    (chosen,) = inert.chosen([secret(), secret("own")], ["app/keys"])
    assert chosen == {"namespace": "app", "name": "keys", "keys": ["billing", "gateway"]}
    assert REAL not in json.dumps(chosen)


def test_velero_is_told_to_replace_every_value_and_the_note_of_kubectl() -> None:
    (rule,) = inert.rules(inert.chosen([secret("a.b")], ["app/*"]), NAMES)
    conditions = mapping(rule, "conditions")
    assert conditions["resourceNameRegex"] == r"^a\.b$"
    assert conditions["namespaces"] == ["app", "drill-app"]
    (patch,) = rule["mergePatches"] if isinstance(rule["mergePatches"], list) else []
    said = json.loads(patch["patchData"])
    assert set(said["data"]) == {"billing", "gateway"}
    assert REAL not in said["data"].values()
    assert said["metadata"]["annotations"] == {LAST_APPLIED: None}


def test_a_pull_secret_stays_readable_json() -> None:
    value = base64.b64decode(inert.inert([".dockerconfigjson"])[".dockerconfigjson"])
    assert json.loads(value) == {"auths": {}}


@pytest.mark.parametrize(
    "bent",
    [
        {"data": {"billing": REAL, "gateway": REAL}},
        {"data": {**inert.inert(["billing", "gateway"]), "more": REAL}},
        {"data": inert.inert(["billing", "gateway"]), "metadata": {"annotations": {LAST_APPLIED: "{}"}}},
    ],
)
def test_a_credential_that_came_through_stops_the_drill_by_name(bent: Mapping[str, object]) -> None:
    kube, replaced = FakeKube(), inert.chosen([secret()], ["app/keys"])
    head = {"name": "keys", **mapping(bent, "metadata")}
    kube.put("v1/secrets", "drill-app", {"data": bent["data"], "metadata": head})
    with pytest.raises(DrError) as caught:
        inert.prove(kube, NAMES, replaced)
    assert caught.value.kind is RESTORE_FAILED
    assert "app/keys" in caught.value.message
    assert REAL not in caught.value.message


def test_replaced_credentials_are_told_by_name() -> None:
    kube, replaced = FakeKube(), inert.chosen([secret()], ["app/keys"])
    kube.put("v1/secrets", "drill-app", {"metadata": {"name": "keys"}, "data": inert.inert(["billing", "gateway"])})
    assert inert.prove(kube, NAMES, replaced) == {"replaced": ["app/keys"]}


def test_a_copy_of_the_configuration_gets_no_external_credential_and_no_google_identity() -> None:
    form = Form(NAMES, external=("app/keys",))
    body = form.body(ObjectKey("app", "secrets", "keys"), secret())
    assert mapping(body, "data") == inert.inert(["billing", "gateway"])
    other = form.body(ObjectKey("app", "secrets", "own"), secret("own"))
    assert mapping(other, "data") == {"billing": REAL, "gateway": REAL}
    asked = {"metadata": {"name": "web", "annotations": {inert.WORKLOAD_IDENTITY: "app@p", "team": "a"}}}
    account = form.body(ObjectKey("app", "serviceaccounts", "web"), asked)
    assert mapping(account, "metadata", "annotations") == {"team": "a"}


def test_a_real_restore_brings_credentials_back() -> None:
    form = Form(Names("p", "", "", "", {"app": "app"}, isolated=False), external=("app/keys",))
    assert mapping(form.body(ObjectKey("app", "secrets", "keys"), secret()), "data") == {
        "billing": REAL,
        "gateway": REAL,
    }


def test_what_controllers_of_the_whole_cluster_would_act_on_sleeps_or_stays_out() -> None:
    rules = rules_by_kind()
    for flux in ("kustomizations.kustomize.toolkit.fluxcd.io", "helmreleases.helm.toolkit.fluxcd.io"):
        assert rules[flux] == [{"spec": {"suspend": True}}]
    assert {"metadata": {"annotations": {inert.WORKLOAD_IDENTITY: None}}} in rules["serviceaccounts"]
    held = excluded_kinds(isolated=True, native_snapshots=False)
    assert {
        "externalsecrets.external-secrets.io",
        "applications.argoproj.io",
        "httproutes.gateway.networking.k8s.io",
    } <= set(held)
    assert "applications.argoproj.io" not in excluded_kinds(isolated=False, native_snapshots=False)


def test_egress_is_opened_to_networks_and_to_single_ports() -> None:
    assert policy_spec([])["egress"] == []
    assert policy_spec(["10.0.0.0/8", "10.1.2.3/32:443", "2001:db8::/32"])["egress"] == [
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        {"to": [{"ipBlock": {"cidr": "2001:db8::/32"}}]},
    ]


@pytest.mark.parametrize(
    ("written", "read"), [("10.0.0.1", "10.0.0.1/32"), ("10.0.0.0/8:53", "10.0.0.0/8:53"), ("::/0", "::/0")]
)
def test_a_strategy_allows_networks_with_and_without_ports(written: str, read: str) -> None:
    assert VeleroOptions.model_validate({"allowEgress": [written]}).allow_egress == [read]


@pytest.mark.parametrize("written", ["10.0.0.0/8:0", "10.0.0.0/8:70000", "10.0.0.1:443", "example.org:443"])
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        VeleroOptions.model_validate({"allowEgress": [written]})
