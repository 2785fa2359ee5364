"""What a lab is made of: parts (processes) and tasks (set-up steps), each saying what it must come after.

`lab/parts_data.py` and `lab/parts_cluster.py` hold the two lists; `lab/supervisor.py` brings them up.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.state import MARKER, Lab

DATA, FULL, CLUSTER = "data", "full", "cluster"
"""`cluster`: a second, empty cluster beside a lab (`lab/parts_beside.py`)."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass(slots=True)
class Site:
    """Where one lab lives: its directories, its ports, its log files.

    A port is kept by a socket bound to it that never listens: the part binds beside it (every server here sets
    SO_REUSEADDR), nobody else is given it, and a part that is killed comes back where its clients look for it.
    """

    directory: Path
    id: str
    cache: Path
    options: Mapping[str, str] = field(default_factory=dict)
    _reserved: dict[str, socket.socket] = field(default_factory=dict)
    _reserving: threading.Lock = field(default_factory=threading.Lock)

    def port(self, name: str) -> int:
        """The port of `part` or `part.listener`: a free one the first time."""
        with self._reserving:
            if name not in self._reserved:
                self._reserved[name] = _reserve()
            return int(self._reserved[name].getsockname()[1])

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.port(name)}"

    def log(self, part: str) -> Path:
        return self.directory / "logs" / f"{part}.log"

    def data(self, part: str) -> Path:
        """The part's own directory, made when missing."""
        path = self.directory / "data" / part
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def ca(self) -> Path:
        return self.pki / "ca.pem"

    @property
    def keys(self) -> Path:
        return self.directory / "keys"

    def kubeconfig(self, identity: str) -> Path:
        return self.directory / "kubeconfigs" / identity

    def certificate(self, name: str) -> tuple[str, ...]:
        """`--cert F --key F` of a lab service."""
        return ("--cert", str(self.pki / f"{name}.pem"), "--key", str(self.pki / f"{name}.key"))

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """What every process of this lab inherits."""
        base = {name: value for name, value in os.environ.items() if name not in PRIVATE_VARIABLES}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        return {**base, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, MARKER: self.id, **extra}


PRIVATE_VARIABLES = ("GOOGLE_APPLICATION_CREDENTIALS", "KUBECONFIG", "STORAGE_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST")
"""A person's own settings must not leak into the lab, nor the lab reach what they point at."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a part is started."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A process. Ready when `probe` says so, or, without one, when it prints a line `READY ...`."""

    name: str
    command: Callable[[Site], Command]
    after: tuple[str, ...] = ()
    probe: Callable[[Site], bool] | None = None
    deadline_s: float = 60
    scope: str = DATA


@dataclass(frozen=True, slots=True)
class Task:
    """A set-up step; runs once, in a thread, and raises LabError when it can't."""

    name: str
    run: Callable[[Site], None]
    after: tuple[str, ...] = ()
    scope: str = DATA


Node = Part | Task


def module(name: str, *arguments: object) -> tuple[str, ...]:
    """argv of a part written in Python."""
    return (sys.executable, "-m", f"lab.{name}", *(str(argument) for argument in arguments))


def _reserve() -> socket.socket:
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


def answers(url: str, *, ca: Path | None = None, verify: bool = True, token: str = "") -> bool:
    """Whether a GET answers 200 within a second."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        context = _tls(ca, verify) if url.startswith("https") else None
        with urllib.request.urlopen(request, timeout=1, context=context) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _tls(ca: Path | None, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def nodes(scope: str, skip: Sequence[str] = ()) -> dict[str, Node]:
    """All nodes of a scope by name; who comes after a skipped one comes after what that one comes after."""
    from lab.parts_beside import BESIDE_NODES
    from lab.parts_cluster import CLUSTER_NODES
    from lab.parts_data import DATA_NODES

    scopes: Mapping[str, tuple[Node, ...]] = {DATA: DATA_NODES, CLUSTER: BESIDE_NODES}
    wanted = scopes.get(scope, (*DATA_NODES, *CLUSTER_NODES))
    return without({node.name: node for node in wanted}, skip)


def without(given: Mapping[str, Node], skip: Sequence[str]) -> dict[str, Node]:
    """See `nodes`."""

    def through(names: Sequence[str]) -> tuple[str, ...]:
        kept = [(name,) if name not in skip else through(given[name].after) for name in names if name in given]
        return tuple(dict.fromkeys(name for part in kept for name in part))

    return {name: replace(node, after=through(node.after)) for name, node in given.items() if name not in skip}


def describe(site: Site, scope: str) -> Lab:
    """The lab.json of a site that is up."""
    from lab.parts_cluster import cluster_endpoints, cluster_kubeconfigs
    from lab.parts_data import data_endpoints
    from lab.setup import AUDIT_TOPICS, DATABASE_TOPICS
    from lab.state import DATABASE, PROJECT, REGION

    full, data = scope in (FULL, CLUSTER), scope != CLUSTER
    return Lab(
        directory=site.directory,
        id=site.id,
        scope=scope,
        pid=os.getpid(),
        project=PROJECT,
        region=REGION,
        database=DATABASE,
        ca=site.ca,
        keys=site.keys,
        settings=site.directory / "dr.yaml",
        cache=site.cache,
        endpoints={**(data_endpoints(site) if data else {}), **(cluster_endpoints(site) if full else {})},
        kubeconfigs=cluster_kubeconfigs(site) if full else {},
        topics={**DATABASE_TOPICS, **AUDIT_TOPICS},
    )
