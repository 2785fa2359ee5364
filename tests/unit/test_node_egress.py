"""What NetworkPolicies let a Pod reach, and that the kernel holds processes to it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.node import bpf
from lab.node.api import Manifest
from lab.node.confine import control_groups, tidy
from lab.node.egress import EVERYWHERE, TCP, UDP, Allow, allowed

IP = "127.9.9.9"
ITSELF = Allow(IPv4Network(IP))


def pod(**labels: str) -> Manifest:
    return {"metadata": {"name": "p", "namespace": "here", "labels": labels}}


def policy(*egress: Manifest, namespace: str = "here", **spec: object) -> Manifest:
    whole = {"podSelector": {}, "policyTypes": ["Egress"], "egress": list(egress), **spec}
    return {"metadata": {"name": "n", "namespace": namespace}, "spec": whole}


def reach(*policies: Manifest, **labels: str) -> tuple[Allow, ...] | None:
    return allowed(policies, pod(**labels), IP, lambda peer, namespace: ["127.1.1.1"] if namespace == "here" else [])


def block(cidr: str, *out: str) -> Manifest:
    return {"to": [{"ipBlock": {"cidr": cidr, **({"except": list(out)} if out else {})}}]}


def test_a_pod_that_no_policy_selects_is_free() -> None:
    elsewhere = policy(namespace="there")
    ingress = policy(policyTypes=["Ingress"])
    other = policy(podSelector={"matchLabels": {"app": "other"}})
    assert reach(elsewhere, ingress, other, app="mine") is None


def test_default_deny_leaves_a_pod_itself() -> None:
    assert reach(policy()) == (ITSELF,)


def test_without_policy_types_a_list_of_egress_isolates() -> None:
    bare: Manifest = {"metadata": {"namespace": "here"}, "spec": {"podSelector": {}, "egress": []}}
    assert reach(bare) == (ITSELF,)


def test_policies_add_up() -> None:
    one, two = policy(block("10.0.0.0/8")), policy(block("192.168.1.1/32"))
    assert reach(one, two) == (Allow(IPv4Network("10.0.0.0/8")), ITSELF, Allow(IPv4Network("192.168.1.1/32")))


def test_ports_and_protocols_narrow_a_block() -> None:
    ports = [{"port": 443}, {"protocol": "UDP", "port": 53}, {"port": 8000, "endPort": 8010}, {"port": "http"}]
    net = IPv4Network("10.0.0.0/8")
    wanted = {Allow(net, 443, 443, TCP), Allow(net, 53, 53, UDP), Allow(net, 8000, 8010, TCP), ITSELF}
    assert set(reach(policy({**block("10.0.0.0/8"), "ports": ports})) or ()) == wanted


def test_an_exception_is_cut_out_of_its_block() -> None:
    found = [rule.network for rule in reach(policy(block("10.0.0.0/30", "10.0.0.1/32"))) or ()]
    assert [str(net) for net in found if net != ITSELF.network] == ["10.0.0.0/32", "10.0.0.2/31"]
    assert reach(policy(block("10.0.0.0/30", "10.0.0.0/8"))) == (ITSELF,)


def test_an_entry_without_peers_is_everywhere_and_ipv6_is_nowhere() -> None:
    assert Allow(EVERYWHERE) in (reach(policy({})) or ())
    assert reach(policy(block("::/0"))) == (ITSELF,)


def test_a_peer_with_selectors_is_the_addresses_of_its_pods() -> None:
    assert Allow(IPv4Network("127.1.1.1/32")) in (reach(policy({"to": [{"podSelector": {}}]})) or ())


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "app", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_expressions_of_a_selector(expression: Manifest, selected: bool) -> None:
    found = reach(policy(podSelector={"matchExpressions": [expression]}), app="a")
    assert (found is not None) is selected


# --- the kernel

TRY = """
import os, socket, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
def tcp(port): socket.create_connection(("127.0.0.1", port), 5)
def mapped(port): socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", port))
def udp(port): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))
def own6(port): socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("::1", port))
def raw(port): socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
for name in sys.argv[3:]:
    try:
        locals()[name](int(sys.argv[2]))
        print(name, end=" ")
    except PermissionError:
        pass
"""
WAYS = ("tcp", "mapped", "udp", "own6", "raw")


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
    base = control_groups(tmp_path)
    if base is None:
        pytest.skip("needs root and cgroup v2")
    made = base / secrets.token_hex(4)
    made.mkdir(parents=True)
    yield made
    made.rmdir()
    with suppress(OSError):
        base.rmdir()


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def ways_out(group: Path, port: int) -> set[str]:
    argv = [sys.executable, "-c", TRY, str(group), str(port), *WAYS]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_process_of_the_group_gets_out_only_where_it_may(group: Path, port: int) -> None:
    assert ways_out(group, port) == set(WAYS)
    bpf.restrict(group, ())
    assert ways_out(group, port) == set()
    bpf.restrict(group, [Allow(IPv4Network("127.0.0.1/32"), port, port, TCP)])
    assert ways_out(group, port) == {"tcp", "mapped"}
    bpf.restrict(group, [Allow(IPv4Network("127.0.0.1/32"), port + 1, port + 1, TCP)])
    assert ways_out(group, port) == set()
    bpf.restrict(group, [Allow(IPv4Network("10.0.0.0/8")), Allow(IPv4Network("127.0.0.0/8"))])
    assert ways_out(group, port) == {"tcp", "mapped", "udp"}
    bpf.restrict(group, None)
    assert ways_out(group, port) == set(WAYS)


def test_a_group_holds_its_children_and_nobody_else(group: Path, port: int) -> None:
    bpf.restrict(group, ())
    inside = f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"
    assert subprocess.run(["sh", "-c", inside], capture_output=True, check=False).returncode == 1
    socket.create_connection(("127.0.0.1", port), 5).close()
    assert os.getpid() not in map(int, (group / "cgroup.procs").read_text().split())


def test_control_groups_of_agents_that_are_gone_are_tidied_away_and_living_ones_stay(tmp_path: Path) -> None:
    mine = control_groups(tmp_path)
    if mine is None:
        pytest.skip("needs root and cgroup v2")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    dead = mine.with_name(f"energent-lab-{secrets.token_hex(5)}-{ended.pid}")
    for base in (mine, dead):
        (base / "pod").mkdir(parents=True)
    tidy()
    assert not dead.exists()
    assert (mine / "pod").exists()
    (mine / "pod").rmdir()
    mine.rmdir()
