"""Writers: they keep creating, changing and deleting, and record what was acknowledged. They judge nothing."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc

from lab.energent import documents
from lab.energent.configuration import Configurations, acknowledged
from lab.energent.manifests import path_of, tenant_namespace
from lab.energent.store import Put, Store
from lab.energent.values import fingerprint, integer
from lab.energent.witness import Acknowledged, Witness
from lab.node.api import Api, ApiError, Manifest, Unreachable

KEPT = 200
"""Documents that one writer keeps: from then on one goes for each that comes, so that a day of writing makes no larger a database."""
COMPLAINT_S = 5.0
PAUSE_S = 0.2
REFUSALS = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)
"""Answers that say for certain that nothing was written."""


class Refused(Exception):
    """The server said no: nothing was written."""


class Unknown(Exception):
    """No clear answer: it may have been written."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write to do, and what the witness will say of it."""

    send: Callable[[], None]
    record: Sequence[Acknowledged]

    @property
    def path(self) -> str:
        return self.record[0].path


class Changes(Protocol):
    """Where a writer gets its next change from."""

    def next(self) -> Change: ...


class Documents:
    """Changes to the jobs of all tenants."""

    def __init__(self, store: Store, source: str, tenants: int, tag: str) -> None:
        self._store, self._source, self._tenants, self._tag = store, source, tenants, tag
        self._rng, self._paths, self._made = random.Random(tag), list[str](), 0

    def next(self) -> Change:
        """Six creations, three changes, one deletion in ten; where there are enough documents, the oldest goes instead of a creation."""
        self._made += 1
        dice = self._rng.random()
        if len(self._paths) >= KEPT and dice < 0.6:
            return self._change(Put(self._paths.pop(0), None))
        if len(self._paths) < 3 or dice < 0.6:
            owner = documents.tenant_id(self._rng.randrange(self._tenants) + 1)
            path = f"tenants/{owner}/jobs/w-{self._tag}-{self._made:07d}"
            self._paths.append(path)
        else:
            path = self._paths[self._rng.randrange(len(self._paths))]
        if dice > 0.9:
            self._paths.remove(path)
            return self._change(Put(path, None))
        job = documents.job(self._rng, path.split("/")[1], self._made)
        return self._change(Put(path, {**job, "writer": integer(self._made)}))

    def _change(self, put: Put) -> Change:
        digest = "" if put.fields is None else fingerprint(put.fields)
        return Change(lambda: self._send(put), [Acknowledged(self._source, put.path, digest)])

    def _send(self, put: Put) -> None:
        try:
            self._store.commit(put)
        except grpc.RpcError as error:
            kind = Refused if error.code() in REFUSALS else Unknown
            raise kind(f"{put.path}: {error.code().name}: {error.details()}") from error


@dataclass(frozen=True, slots=True)
class Cluster:
    """Objects written by server-side apply."""

    api: Api

    def change(self, manifest: Manifest, *, deleted: bool = False) -> Change:
        return Change(lambda: self._send(manifest, deleted), acknowledged(manifest, deleted=deleted))

    def _send(self, manifest: Manifest, deleted: bool) -> None:
        path = path_of(manifest)
        try:
            if deleted:
                self._delete(path)
            else:
                self.api.apply(path, manifest)
        except Unreachable as error:
            raise Unknown(str(error)) from error
        except ApiError as error:
            raise (Unknown if error.status >= 500 else Refused)(f"{path}: {error}") from error

    def _delete(self, path: str) -> None:
        """What is gone already is deleted; but a missing namespace took more than this writer's objects with it."""
        try:
            self.api.delete(path)
        except ApiError as error:
            if error.status != 404 or not self._stands(_namespace_of(path)):
                raise

    def _stands(self, namespace: str) -> bool:
        found = self.api.find(f"/api/v1/namespaces/{namespace}")
        return found is not None and "deletionTimestamp" not in found["metadata"]


def _namespace_of(path: str) -> str:
    return path.partition("/namespaces/")[2].partition("/")[0]


class ConfigMaps:
    """Changes to ConfigMaps in the tenants' namespaces."""

    def __init__(self, api: Api, tenants: int, tag: str) -> None:
        self._cluster, self._tenants, self._tag = Cluster(api), tenants, tag
        self._rng, self._made = random.Random(tag), 0

    def next(self) -> Change:
        """A few names in each namespace: created, then changed, now and then deleted."""
        self._made += 1
        namespace = tenant_namespace(self._rng.randrange(self._tenants) + 1)
        name = f"job-{self._tag}-{self._rng.randrange(4)}"
        body: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
        body["data"] = {"seq": str(self._made), "note": f"версия {self._made}"}
        return self._cluster.change(body, deleted=self._rng.random() < 0.1)


class Settings:
    """Changes to the platform's configuration: ConfigMaps, Secrets, roles, autoscalers, Flux."""

    def __init__(self, api: Api, tenants: int, tag: str) -> None:
        self._cluster, self._configurations = Cluster(api), Configurations(tenants, tag)

    def next(self) -> Change:
        manifest, deleted = self._configurations.next()
        return self._cluster.change(manifest, deleted=deleted)


@dataclass
class Writer:
    """Sends one change after the other at a rate, until stopped.

    A change without a clear answer is sent again until there is one: so what the witness does not know was not written,
    or is the one change in doubt when the writer was stopped, which it says.
    """

    changes: Changes
    witness: Witness
    rate: float
    stop: threading.Event
    acknowledged: threading.Event
    written: int = 0
    errors: int = 0
    _complained: float = field(default=float("-inf"))

    def run(self) -> None:
        due = time.monotonic()
        while not self.stop.is_set():
            self._until_answered(self.changes.next())
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            self.stop.wait(max(due - time.monotonic(), 0))

    def _until_answered(self, change: Change) -> None:
        while True:
            try:
                change.send()
            except Refused as error:
                self._complain(error)
                return
            except Unknown as error:
                self._complain(error)
                if self.stop.wait(PAUSE_S):
                    print(f"in doubt when stopped: {change.path}", file=sys.stderr, flush=True)
                    return
            else:
                self.witness.record(change.record)
                self.written += 1
                self.acknowledged.set()
                return

    def _complain(self, error: Exception) -> None:
        self.errors += 1
        if time.monotonic() - self._complained > COMPLAINT_S:
            self._complained = time.monotonic()
            print(f"not written ({self.errors} so far): {error}", file=sys.stderr, flush=True)
