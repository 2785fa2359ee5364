"""The lab's node holds the processes of its Pods to the egress policies that select them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from lab.kube import Kube, wait_for
from lab.state import Lab
from tests.cluster.test_node_agent import is_ready, log, pod, shell, start, status

pytestmark = pytest.mark.cluster
DEADLINE_S = 40
Object = dict[str, Any]


class Listener:
    """A TCP server that counts who came."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.reached = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._server.accept()
                self.reached += 1
                taken.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture
def admin(kube: Callable[[str], Kube]) -> Kube:
    return kube("admin")


def policy(namespace: str, *ports: int) -> Object:
    to = [{"ipBlock": {"cidr": "127.0.0.1/32"}}]
    egress = [{"to": to, "ports": [{"port": port} for port in ports]}] if ports else []
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}
    meta = {"name": "contain", "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


SCRIPT = """
import socket, sys
for port in sys.argv[1:]:
    try:
        socket.create_connection(('127.0.0.1', int(port)), 5)
        print(port, 'reached')
    except PermissionError:
        print(port, 'denied')
"""


def tries(*ports: int) -> str:
    """Prints of each port whether it can be reached."""
    return f'python3 -c "{SCRIPT}" ' + " ".join(map(str, ports))


def test_a_denied_connection_fails_and_an_allowed_one_works(lab: Lab, admin: Kube, namespace: str) -> None:
    """From the very first instruction of the Pod, in containers that start together and in its probes' commands."""
    with listening() as denied, listening() as open_:
        admin.apply(policy(namespace, open_.port))
        look = start(admin, pod(namespace, "tries", shell(tries(denied.port, open_.port)), restartPolicy="Never"))
        wait_for("the pod's end", lambda: "terminated" in status(look())["state"], DEADLINE_S)
        assert log(lab, look()).splitlines() == [f"{denied.port} denied", f"{open_.port} reached"]
        assert (denied.reached, open_.reached) == (0, 1)


def test_without_a_policy_everything_can_be_reached(lab: Lab, admin: Kube, namespace: str) -> None:
    with listening() as listener:
        look = start(admin, pod(namespace, "free", shell(tries(listener.port)), restartPolicy="Never"))
        wait_for("the pod's end", lambda: "terminated" in status(look())["state"], DEADLINE_S)
        assert listener.reached == 1


def test_a_policy_counts_for_pods_that_run_already_and_for_their_probes(admin: Kube, namespace: str) -> None:
    with listening() as listener:
        command = ["python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {listener.port}), 5)"]
        probe = {"exec": {"command": command}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}
        look = start(admin, pod(namespace, "probed", shell("sleep 1000", readinessProbe=probe)))
        wait_for("readiness", lambda: is_ready(look()), DEADLINE_S)
        admin.apply(policy(namespace))
        wait_for("the policy in force", lambda: not is_ready(look()), DEADLINE_S)
        admin.apply(policy(namespace, listener.port))
        wait_for("the way open", lambda: is_ready(look()), DEADLINE_S)
        admin.apply(policy(namespace))
        wait_for("the way closed", lambda: not is_ready(look()), DEADLINE_S)
        admin.delete(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/contain")
        wait_for("no policy", lambda: is_ready(look()), DEADLINE_S)
