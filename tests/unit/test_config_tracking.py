"""What is configuration, what a listing or an event adds to what is known, and when an emptiness is believed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.changelog import Entry
from dr.changelog.seal import Sealer
from dr.components.config.confirming import believed
from dr.components.config.normal import normalised, skipped
from dr.components.config.sealing import box_for, opened, same_digest
from dr.components.config.state import Held, ObjectKey, State, fold
from dr.components.config.tracking import Change, Form, Tracker, doubted
from dr.errors import DAMAGED, UNAVAILABLE, DrError
from dr.vendors.kubernetes import Listing
from tests.unit.config_world import RBAC, SERVED, SOURCE, Body, FakeApi, PlainKey, config_map, secret
from tests.unit.fakes import T0, FakeClock

MAPS = SERVED["configmaps"]


def tracker(kind: str = "configmaps") -> Tracker:
    return Tracker(SERVED[kind], Form(), lambda body: body["metadata"]["namespace"] != "other")  # type: ignore[index]


def numbered(bodies: Sequence[Body], start: int = 1) -> list[Body]:
    return [
        {**body, "metadata": {**body["metadata"], "resourceVersion": str(start + index), "uid": f"u{index}"}}
        for index, body in enumerate(bodies)
    ]


# --- what is configuration


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("configmaps", config_map("app", "kube-root-ca.crt"), "its own cluster"),
        ("configmaps", {"metadata": {"name": "l", "annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}}, "election"),
        ("secrets", {"metadata": {"name": "t"}, "type": "kubernetes.io/service-account-token"}, "token"),
        ("secrets", {"metadata": {"name": "h"}, "type": "helm.sh/release.v1"}, ""),
        ("serviceaccounts", {"metadata": {"name": "default", "namespace": "app"}, "secrets": [{"name": "x"}]}, "its own cluster"),
        ("serviceaccounts", {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "x"}]}, ""),
        ("serviceaccounts", {"metadata": {"name": "default", "annotations": {"a": "b"}}}, ""),
        (f"clusterroles.{RBAC}", {"metadata": {"name": "v", "labels": {"kubernetes.io/bootstrapping": "x"}}}, "API server"),
        ("configmaps", {"metadata": {"name": "c", "ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}}, "controller"),
        ("secrets", {"metadata": {"name": "c", "ownerReferences": [{"controller": True, "kind": "Certificate"}]}}, ""),
        ("configmaps", {"metadata": {"name": "c", "labels": {"dr/plan": "p"}}}, "restore"),
    ],
)  # fmt: skip
def test_what_is_made_anew_by_others_is_not_captured(kind: str, body: Body, why: str) -> None:
    assert (why in skipped(kind, body)) if why else not skipped(kind, body)


def test_identity_history_and_status_are_taken_off() -> None:
    noise = {"uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2025-05-28T10:00:00Z",
             "managedFields": [{}], "finalizers": ["x"], "ownerReferences": [{"uid": "u"}]}  # fmt: skip
    notes = {"deployment.kubernetes.io/revision": "7", "team": "core"}
    spec = {"replicas": 2, "template": {"metadata": {"creationTimestamp": None, "labels": {"a": "b"}}}}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 2}, "spec": spec,
            "metadata": {"name": "web", "namespace": "app", "annotations": notes, **noise}}  # fmt: skip
    assert normalised("deployments.apps", body) == {
        "metadata": {"name": "web", "namespace": "app", "annotations": {"team": "core"}},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"a": "b"}}}},
    }


def test_what_a_cluster_gives_is_not_the_users() -> None:
    given_address = {
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ports": []},
    }
    assert normalised("services", given_address)["spec"] == {"ports": []}
    headless = {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}
    assert normalised("services", headless)["spec"] == headless["spec"]
    aggregated = {"metadata": {"name": "r"}, "aggregationRule": {}, "rules": [{"verbs": ["*"]}]}
    assert "rules" not in normalised("clusterroles.rbac.authorization.k8s.io", aggregated)
    space = {"metadata": {"name": "app", "labels": {"kubernetes.io/metadata.name": "app", "t": "1"}}, "spec": {"f": 1}}
    assert normalised("namespaces", space) == {"metadata": {"name": "app", "labels": {"t": "1"}}}


def test_the_plain_text_of_a_secret_hides_in_no_annotation() -> None:
    assert "aHVudGVyMg" not in json.dumps(normalised("secrets", secret("app", "k", token="aHVudGVyMg=="))["metadata"])


# --- tracking against a model

names = st.sampled_from(["a", "b", "c"])
spaces = st.sampled_from(["app", "tenant-1", "other"])
objects = st.dictionaries(st.tuples(spaces, names), st.integers(0, 3), max_size=6)
steps = st.lists(st.tuples(st.sampled_from(["event", "list"]), spaces, names, st.integers(0, 3), objects), max_size=12)


def bodies_of(world: Mapping[tuple[str, str], int], version: int) -> list[Body]:
    return numbered([config_map(space, name, v=str(value)) for (space, name), value in sorted(world.items())], version)


@given(steps)
def test_the_fold_of_all_changes_is_what_was_last_seen(
    script: list[tuple[str, str, str, int, dict[tuple[str, str], int]]],
) -> None:
    """Whatever order of events and listings: nothing is missed, nothing is written twice, other namespaces stay out."""
    one, world, entries, version = tracker(), {}, [], 100  # type: ignore[var-annotated]
    for what, space, name, value, listed in script:
        version += 10
        found: list[Change | None]
        if what == "list":
            world = dict(listed)
            found = list(one.listed(bodies_of(world, version)))
        elif value:
            world[space, name] = value
            found = [one.seen(bodies_of({(space, name): value}, version)[0])]
        else:
            world.pop((space, name), None)
            found = [one.gone(ObjectKey(space, "configmaps", name))]
        entries += [Entry(T0, str(change.key), change.data) for change in found if change]
    state = fold(entries)
    told = {(key.namespace, key.name): held.object["data"]["v"] for key, held in state.objects.items()}  # type: ignore[index]
    assert told == {place: str(value) for place, value in world.items() if place[0] != "other"}
    assert one.listed(bodies_of(world, version + 1)) == []


def test_a_change_that_is_none_writes_nothing() -> None:
    one = tracker()
    first, second = numbered([config_map("app", "a", v="1")], 5)[0], numbered([config_map("app", "a", v="1")], 6)[0]
    assert one.seen(first) is not None
    assert one.seen({**second, "status": {"x": 1}}) is None


def test_what_the_log_holds_already_is_not_written_again_after_a_restart() -> None:
    one, again = tracker(), tracker()
    change = one.seen(numbered([config_map("app", "a", v="1")], 5)[0])
    assert change
    again.remember(fold([Entry(T0, str(change.key), change.data)]))
    assert again.listed(numbered([config_map("app", "a", v="1")], 900)) == []


# --- emptiness


@given(st.sets(st.tuples(spaces, names)), st.sets(st.tuples(spaces, names)))
def test_only_a_namespace_of_which_nothing_is_left_is_doubted(
    known: set[tuple[str, str]], gone: set[tuple[str, str]]
) -> None:
    keys = {ObjectKey(space, "configmaps", name) for space, name in known}
    missing = {key for key in keys if (key.namespace, key.name) in gone}
    expected = {space for space, _ in known if all(pair in gone for pair in known if pair[0] == space)}
    assert doubted(keys, missing) == tuple(sorted(expected))


class Empty:
    """An API whose listings of ConfigMaps are scripted."""

    def __init__(self, *listings: Listing, without: Sequence[str] = ()) -> None:
        self.api, self.listings = FakeApi(), list(listings)
        for name in ("app", "tenant-1"):
            self.api.put("namespaces", {"metadata": {"name": name}})
        for name in without:
            self.api.drop("namespaces", name)
        self.api.listed = lambda _, real: self.listings.pop(0) if self.listings else real
        self.one = tracker()
        for body in numbered([config_map("app", "a"), config_map("app", "b"), config_map("tenant-1", "a")]):
            self.one.seen(body)

    def believed(self, first: Listing) -> Listing:
        return believed(self.api, self.one, first, FakeClock())


def listing(version: str, *places: tuple[str, str]) -> Listing:
    return Listing(numbered([config_map(space, name) for space, name in places]), version)


def test_a_listing_that_still_shows_the_namespace_is_believed_at_once() -> None:
    here = Empty()
    assert here.believed(listing("7", ("app", "a"), ("tenant-1", "a"))).version == "7"


def test_an_empty_list_needs_a_second_one_at_another_version() -> None:
    full = listing("8", ("app", "a"), ("app", "b"), ("tenant-1", "a"))
    assert Empty(full).believed(listing("7")) is full  # the first was a lie
    assert Empty(listing("8")).believed(listing("7")).version == "8"  # and now it is true


def test_the_same_version_again_confirms_nothing() -> None:
    with pytest.raises(DrError) as caught:
        Empty(*[listing("7")] * 24).believed(listing("7"))
    assert caught.value.kind is UNAVAILABLE
    assert caught.value.temporary


def test_a_list_that_hides_what_can_be_read_by_name_is_not_believed() -> None:
    here = Empty(listing("8"))
    here.api.put("configmaps", config_map("app", "b"))
    with pytest.raises(DrError, match="app/configmaps/b is there"):
        here.believed(listing("7"))


def test_emptiness_is_not_believed_of_a_server_that_shows_nothing_at_all() -> None:
    with pytest.raises(DrError, match="kube-system"):
        Empty(listing("8"), without=("app", "tenant-1", "kube-system")).believed(listing("7"))
    assert Empty(listing("8"), without=("app", "tenant-1")).believed(listing("7")).version == "8"


# --- secrets


def boxed(sealer: Sealer, state: State | None = None) -> tuple[Tracker, list[Entry]]:
    box, entry = box_for(sealer, SOURCE, state or State(), T0)
    return Tracker(SERVED["secrets"], Form(box), lambda _: True), [entry] if entry else []


def test_a_secret_is_sealed_and_bound_to_its_name() -> None:
    sealer = Sealer((PlainKey(),))
    one, keys = boxed(sealer)
    change = one.seen(numbered([secret("app", "k", token="aHVudGVyMg==")])[0])
    assert change
    written = json.dumps([change.data, *(entry.data for entry in keys)])
    assert "aHVudGVyMg" not in written
    assert "hunter2" not in written
    state = fold([*keys, Entry(T0, str(change.key), change.data)])
    held = state.objects[change.key]
    assert opened(sealer, SOURCE, change.key, held)["data"] == {"token": "aHVudGVyMg=="}
    with pytest.raises(DrError) as caught:
        opened(sealer, SOURCE, ObjectKey("app", "secrets", "other"), held)
    assert caught.value.kind is DAMAGED


def test_a_digest_tells_a_change_without_the_text_and_is_no_plain_hash() -> None:
    one, _ = boxed(Sealer((PlainKey(),)))
    other, _ = boxed(Sealer((PlainKey(),)))
    body = numbered([secret("app", "k", token="aaaa")], 5)[0]
    first = one.seen(body)
    assert first
    assert one.seen({**body, "metadata": {**body["metadata"], "resourceVersion": "6"}}) is None
    changed = one.seen(numbered([secret("app", "k", token="bbbb")], 7)[0])
    assert changed
    assert same_digest(_digest(first), _digest(changed)) is False
    elsewhere = other.seen(body)
    assert elsewhere
    assert _digest(first)["hmac"] != _digest(elsewhere)["hmac"]
    assert same_digest(_digest(first), _digest(elsewhere)) is None


def _digest(change: Change) -> Mapping[str, object]:
    found = change.data["digest"]
    assert isinstance(found, Mapping)
    return found


@pytest.mark.parametrize("opens", [True, False])
def test_a_capture_that_may_not_open_writes_a_secret_again_only_when_its_version_moved(opens: bool) -> None:
    one, keys = boxed(Sealer((PlainKey(),)))
    change = one.seen(numbered([secret("app", "k", token="aaaa")], 5)[0])
    assert change
    state = fold([*keys, Entry(T0, str(change.key), change.data)])
    again, more = boxed(Sealer((PlainKey(opens),)), state)
    again.remember(state)
    assert bool(more) is not opens  # a new key of digests is kept in the log
    assert again.seen(numbered([secret("app", "k", token="aaaa")], 5)[0]) is None
    assert (again.seen(numbered([secret("app", "k", token="aaaa")], 6)[0]) is None) is opens


def test_an_entry_that_nobody_understands_is_damage() -> None:
    for data in ({"op": "rename"}, {"op": "put"}):
        with pytest.raises(DrError) as caught:
            fold([Entry(T0, "app/configmaps/a", data)])
        assert caught.value.kind is DAMAGED
    with pytest.raises(DrError):
        fold([Entry(T0, "nonsense", {"op": "delete"})])


def test_a_state_is_its_own_entries() -> None:
    one = tracker()
    changes = [one.seen(body) for body in numbered([config_map("app", "a", v="1"), config_map("tenant-1", "b", v="2")])]
    state = fold(Entry(T0, str(change.key), change.data) for change in changes if change)
    assert fold(state.entries()).objects == state.objects
    assert all(isinstance(held, Held) for held in state.objects.values())
