"""The parts with built binaries: etcd, the Kubernetes control plane, Velero; and the node agent."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab import velero
from lab.build import binary
from lab.grants import KUBERNETES_IDENTITIES, rbac_manifests
from lab.kube import Kube, write_kubeconfig
from lab.parts import FULL, Command, Node, Part, Site, Task, answers, module

SERVICE_RANGE = "10.0.0.0/16"
NODE = "lab-node-1"


def make_credentials(site: Site) -> None:
    """Tokens and kubeconfigs of each identity, and the key that signs service-account tokens."""
    directory = site.data("apiserver")
    rows = []
    for identity in KUBERNETES_IDENTITIES:
        token = secrets.token_urlsafe(24)
        groups = "system:masters" if identity == "admin" else f"lab:{identity}"
        rows.append(f'{token},{identity},{identity},"{groups}"\n')
        write_kubeconfig(site.kubeconfig(identity), f"https://{site.address('apiserver')}", site.ca, identity, token)
    _private(directory / "tokens.csv", "".join(rows).encode())
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    _private(directory / "service-accounts.key", pem)


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _etcd(site: Site) -> Command:
    client, peer = f"http://{site.address('etcd')}", f"http://{site.address('etcd.peer')}"
    urls = ("--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer)
    cluster = ("--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")
    # a lab that loses power is thrown away, so durability on disk buys nothing
    speed = ("--unsafe-no-fsync", "--log-level", "warn")
    return Command((str(binary("etcd")), "--data-dir", str(site.data("etcd")), *urls, *cluster, *speed))


def _apiserver(site: Site) -> Command:
    own = site.data("apiserver")
    key = str(own / "service-accounts.key")
    return Command(
        (
            str(binary("kube-apiserver")),
            f"--etcd-servers=http://{site.address('etcd')}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # it refuses loopback endpoints, and nothing routes to them here
            f"--secure-port={site.port('apiserver')}",
            f"--tls-cert-file={site.pki / 'apiserver.pem'}",
            f"--tls-private-key-file={site.pki / 'apiserver.key'}",
            f"--cert-dir={own}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={own / 'tokens.csv'}",
            "--allow-privileged",
            "--profiling=false",
        )
    )


def _controller_manager(site: Site) -> Command:
    kubeconfig = str(site.kubeconfig("admin"))
    return Command(
        (
            str(binary("kube-controller-manager")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={site.port('controller-manager')}",
            f"--cert-dir={site.data('controller-manager')}",
            f"--service-account-private-key-file={site.data('apiserver') / 'service-accounts.key'}",
            f"--root-ca-file={site.ca}",
            "--leader-elect=false",
            "--controllers=*,-nodeipam",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        )
    )


def _scheduler(site: Site) -> Command:
    kubeconfig = str(site.kubeconfig("admin"))
    return Command(
        (
            str(binary("kube-scheduler")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={site.port('scheduler')}",
            f"--cert-dir={site.data('scheduler')}",
            "--leader-elect=false",
        )
    )


def _node(site: Site) -> Command:
    where = ("--kubeconfig", site.kubeconfig("admin"), "--name", NODE, "--dir", site.data("node"))
    images = Path(__file__).parent / "images.yaml"
    return Command(module("node", *where, "--images", images, "--iam", site.directory))


def _healthy(part: str, path: str = "/healthz") -> Callable[[Site], bool]:
    """Controller manager and scheduler make their own certificates, in memory."""
    return lambda site: answers(f"https://{site.address(part)}{path}", verify=False)


def apply_rbac(site: Site) -> None:
    Kube(site.kubeconfig("admin")).apply_all(rbac_manifests())


CLUSTER_NODES: tuple[Node, ...] = (
    Task("credentials", make_credentials, after=("identities",), scope=FULL),
    Part(
        "etcd",
        _etcd,
        probe=lambda site: answers(f"http://{site.address('etcd')}/readyz"),
        scope=FULL,
    ),
    Part("apiserver", _apiserver, after=("etcd", "credentials"), probe=_healthy("apiserver", "/readyz"), scope=FULL),
    Part(
        "controller-manager",
        _controller_manager,
        after=("apiserver",),
        probe=_healthy("controller-manager"),
        scope=FULL,
    ),
    Part("scheduler", _scheduler, after=("apiserver",), probe=_healthy("scheduler"), scope=FULL),
    Task("rbac", apply_rbac, after=("apiserver",), scope=FULL),
    Part("node", _node, after=("apiserver",), scope=FULL),
    Task("velero-crds", velero.render_crds, scope=FULL),
    Task("velero-setup", velero.install, after=("apiserver", "velero-crds"), scope=FULL),
    Part("velero", velero.command, after=("velero-setup", "rbac", "buckets"), probe=velero.serving, scope=FULL),
    Task("velero-location", velero.await_location, after=("velero",), scope=FULL),
)


def cluster_endpoints(site: Site) -> dict[str, str]:
    """For lab.json."""
    return {
        "kubernetes": f"https://{site.address('apiserver')}",
        "etcd": f"http://{site.address('etcd')}",
        "velero_metrics": f"http://{site.address('velero.metrics')}/metrics",
    }


def cluster_kubeconfigs(site: Site) -> dict[str, Path]:
    return {identity: site.kubeconfig(identity) for identity in KUBERNETES_IDENTITIES}
