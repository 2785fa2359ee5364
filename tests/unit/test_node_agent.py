"""What the lab's node decides without a cluster: images, environment, addresses, files, and the status it reports."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.node.agent import Addresses
from lab.node.api import Manifest
from lab.node.environment import ConfigError, container_env, expand, field_value
from lab.node.images import ROOT, ImageTable, UnknownImage
from lab.node.probes import Schedule, Target, attempt
from lab.node.status import ContainerState, phase, pod_status, restarts_after, resume, terminated, waiting
from lab.node.volumes import write_files

NOW = datetime(2025, 5, 28, 10, tzinfo=UTC)
POD: Manifest = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c"}},
    "spec": {"nodeName": "lab-node-1"},
}


def lookup(kind: str, name: str) -> Manifest | None:
    known = {("ConfigMap", "c"): {"data": {"k": "v"}}, ("Secret", "s"): {"data": {"pw": "cHc="}}}
    return known.get((kind, name))


def running() -> Manifest:
    return {"running": {"startedAt": "2025-05-28T09:00:00Z"}}


@pytest.fixture(scope="module")
def table() -> ImageTable:
    return ImageTable.load(ROOT / "lab" / "images.yaml")


@pytest.mark.parametrize(
    "image", ["energent/platform", "energent/platform:1.0", "gcr.io:443/x/energent/platform@sha256:ab"]
)
def test_an_image_is_found_without_registry_tag_and_digest(table: ImageTable, image: str) -> None:
    assert table.argv(image, [], [])[1:] == ["-m", "lab.energent.app"]


def test_a_command_replaces_the_entrypoint_and_arguments_follow(table: ImageTable) -> None:
    assert table.argv("docker.io/library/busybox:1", ["sleep"], ["5"]) == ["sleep", "5"]
    assert table.argv("ghcr.io/energent/dr:2", [], ["plan"])[1:] == ["-m", "dr", "plan"]
    assert table.argv("dr", ["dr", "run"], [])[1:] == ["-m", "dr", "run"]


def test_an_image_outside_the_table_is_refused_by_name(table: ImageTable) -> None:
    with pytest.raises(UnknownImage, match="nginx"):
        table.argv("nginx:1", [], [])


def test_environment_later_entries_win_and_variables_expand() -> None:
    container: Manifest = {
        "envFrom": [{"configMapRef": {"name": "c"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [
            {"name": "A", "value": "$(k)-$(IP)-$$(k)-$(none)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "B", "value": "$(IP)"},
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "x", "optional": True}}},
        ],
    }
    env = container_env(container, POD, {"podIP": "127.1.1.1"}, lookup, {"k": "base"})
    assert env == {"k": "v", "S_pw": "pw", "A": "v-$(IP)-$(k)-$(none)", "IP": "127.1.1.1", "B": "127.1.1.1", "P": "pw"}


def test_a_missing_reference_is_named() -> None:
    with pytest.raises(ConfigError, match='configmap "gone" not found'):
        container_env({"envFrom": [{"configMapRef": {"name": "gone"}}]}, POD, {}, lookup, {})
    missing = {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "nope"}}}]}
    with pytest.raises(ConfigError, match="couldn't find key nope in Secret s"):
        container_env(missing, POD, {}, lookup, {})


def test_downward_fields() -> None:
    assert field_value("metadata.labels['a/b']", POD, {}) == "c"
    assert field_value("metadata.labels", POD, {}) == 'a/b="c"'
    assert field_value("spec.nodeName", POD, {}) == "lab-node-1"
    assert expand("$(A", {"A": "x"}) == "$(A"


def test_a_volume_directory_holds_exactly_the_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"1", "d/b": b"2"})
    write_files(tmp_path, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {"a": b"3"}


def test_addresses_are_distinct_loopback_and_kept_on_request() -> None:
    pool = Addresses("/some/lab")
    taken = {pool.take() for _ in range(600)}
    assert len(taken) == 600
    assert all(address.startswith("127.") and not address.endswith((".0", ".255")) for address in taken)
    assert pool.take("127.9.9.9") == "127.9.9.9"
    assert pool.take("127.9.9.9") != "127.9.9.9"
    pool.give_back("127.9.9.9")
    assert pool.take("127.9.9.9") == "127.9.9.9"
    assert pool.take("10.0.0.1").startswith("127.")


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policy(policy: str, code: int, again: bool) -> None:
    assert restarts_after(policy, code) is again


def test_phases() -> None:
    fresh, up = ContainerState("a", "i"), ContainerState("a", "i", state=running())
    good = ContainerState("a", "i", state=terminated(0, "Completed", "", ""), done=True)
    bad = ContainerState("a", "i", state=terminated(3, "Error", "", ""), done=True)
    crashing = ContainerState("a", "i", state=waiting("CrashLoopBackOff"), restarts=2)
    cases = {
        "Pending": ([up], [fresh]),
        "Running": ([good], [up]),
        "Succeeded": ([], [good]),
        "Failed": ([], [good, bad]),
    }
    assert {name: phase(*case) for name, case in cases.items()} == {name: name for name in cases}
    assert phase([bad], [fresh]) == "Failed"
    assert phase([], [crashing]) == "Running"


def test_ready_only_when_every_container_is_and_the_transition_time_is_kept() -> None:
    one, two = ContainerState("a", "i", state=running(), ready=True), ContainerState("b", "i", state=running())
    before = pod_status(POD, [], [one, two], "127.1.1.1", NOW, "s")
    ready = {entry["type"]: entry for entry in before["conditions"]}["Ready"]
    assert (ready["status"], ready["lastTransitionTime"]) == ("False", "2025-05-28T10:00:00Z")
    later = NOW.replace(hour=11)
    same = pod_status({**POD, "status": before}, [], [one, two], "127.1.1.1", later, "s")
    assert same["conditions"][2]["lastTransitionTime"] == "2025-05-28T10:00:00Z"
    two.ready = True
    changed = pod_status({**POD, "status": before}, [], [one, two], "127.1.1.1", later, "s")["conditions"][2]
    assert (changed["status"], changed["lastTransitionTime"]) == ("True", "2025-05-28T11:00:00Z")


def test_after_an_agent_restart_a_running_container_counts_as_killed() -> None:
    always, never = ContainerState("a", "i"), ContainerState("a", "i")
    before: Manifest = {"restartCount": 2, "state": running()}
    resume(always, before, "Always", NOW)
    assert (always.restarts, always.done, always.last["terminated"]["exitCode"]) == (3, False, 137)
    resume(never, before, "Never", NOW)
    assert (never.done, never.exit_code) == (True, 137)


def test_after_an_agent_restart_a_finished_container_stays_finished() -> None:
    state = ContainerState("a", "i")
    resume(state, {"restartCount": 0, "state": terminated(0, "Completed", "", "")}, "OnFailure", NOW)
    assert (state.done, state.exit_code) == (True, 0)


async def _probe(probe: Manifest, target: Target) -> bool:
    return await attempt(probe, target, 1.0)


def test_a_probe_that_cannot_connect_says_no(tmp_path: Path) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    target = Target("127.0.0.1", {"http": port}, tmp_path / "pid", {})
    assert asyncio.run(_probe({"tcpSocket": {"port": "http"}}, target)) is False
    assert asyncio.run(_probe({"httpGet": {"port": "unnamed"}}, target)) is False
    assert asyncio.run(_probe({"exec": {"command": ["true"]}}, target)) is False
    listener.listen()
    assert asyncio.run(_probe({"tcpSocket": {"port": "http"}}, target)) is True
    listener.close()


def test_probe_defaults_are_kubernetes_own() -> None:
    assert Schedule.of({}) == Schedule(0.0, 10.0, 1.0, 1, 3)
