"""Egress policies, enforced: each Pod's processes live in a control group of their own, which the kernel holds to the rules.

A Pod that a policy isolates is not started where that cannot be enforced: a lab that only looks contained proves nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from lab.node import bpf
from lab.node.api import Api, Manifest
from lab.node.egress import Allow, allowed, matches
from lab.node.environment import ConfigError

_PREFIX = "energent-lab-"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"


class Confinement:
    """Of all Pods of one agent. Safe to use from several threads; every call may block."""

    def __init__(self, api: Api, directory: Path, base: Path | None = None) -> None:
        self._api, self._base = api, base or control_groups(directory)
        self._locks: dict[str, threading.Lock] = {}
        self._why = self._tried()

    def _tried(self) -> str:
        """Why nothing can be enforced here; empty: it can."""
        tidy()
        if self._base is None:
            return "no cgroup v2 is mounted, or we are not root"
        probe = self._base / "probe"
        try:
            probe.mkdir(parents=True, exist_ok=True)
            bpf.restrict(probe, ())
            probe.rmdir()
        except OSError as error:
            return str(error)
        return ""

    def hold(self, pod: Manifest, ip: str) -> str:
        """Put the policies of this moment into force; the control group that the Pod's processes must enter, or an empty text.
        Raises ConfigError where a policy cannot be enforced; ApiError, Unreachable."""
        with self._locks.setdefault(pod["metadata"]["uid"], threading.Lock()):
            rules = self._rules(pod, ip)
            if self._why:
                if rules is not None:
                    raise ConfigError(f"an egress policy selects the pod and cannot be enforced: {self._why}")
                return ""
            group = self._group(pod["metadata"]["uid"])
            try:
                group.mkdir(parents=True, exist_ok=True)
                bpf.restrict(group, rules)
            except OSError as error:
                raise ConfigError(f"the egress policies cannot be enforced: {error}") from error
            return str(group)

    def _rules(self, pod: Manifest, ip: str) -> tuple[Allow, ...] | None:
        namespace = pod["metadata"]["namespace"]
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
        return allowed(self._api.get(path)["items"], pod, ip, self._addresses)

    def _addresses(self, peer: Manifest, namespace: str) -> Iterator[str]:
        """Of the Pods that a policy's peer means."""
        spaces = {namespace}
        if (selector := peer.get("namespaceSelector")) is not None:
            found = self._api.get("/api/v1/namespaces")["items"]
            spaces = {
                one["metadata"]["name"] for one in found if matches(selector, one["metadata"].get("labels") or {})
            }
        for pod in self._api.get("/api/v1/pods")["items"]:
            meta, ip = pod["metadata"], pod.get("status", {}).get("podIP", "")
            chosen = meta["namespace"] in spaces and matches(peer.get("podSelector") or {}, meta.get("labels") or {})
            if chosen and ip:
                yield ip

    def release(self, uid: str) -> None:
        """The Pod is over: its control group goes, once nothing runs in it."""
        self._locks.pop(uid, None)
        if not self._why:
            _remove(self._group(uid))

    def _group(self, uid: str) -> Path:
        assert self._base is not None
        return self._base / uid


def _remove(group: Path) -> None:
    try:
        group.rmdir()
    except OSError:
        return  # something still ends in it: `tidy` finds it empty later


def control_groups(directory: Path) -> Path | None:
    """Below our own control group, one for each agent. None without cgroup v2 or root."""
    root = _root()
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:10]
    return root / f"{_PREFIX}{name}-{os.getpid()}" if root else None


def tidy() -> None:
    """What agents left that are gone: nothing runs in it, for the kernel ended their Pods with them."""
    root = _root()
    for base in root.glob(f"{_PREFIX}*-*") if root else ():
        if base.name.rpartition("-")[2].isdigit() and not Path("/proc", base.name.rpartition("-")[2]).exists():
            for group in filter(Path.is_dir, base.iterdir()):
                _remove(group)
            _remove(base)


def _root() -> Path | None:
    if os.geteuid():
        return None
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found = [fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    return Path(found[0]) / own[0].strip("/") if found and own else None
