"""Fills the world: the database's documents and the cluster's objects, with a record of every acknowledged write."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab.energent import manifests
from lab.energent.configuration import acknowledged
from lab.energent.documents import Size, world
from lab.energent.store import BATCH, BATCH_BYTES, Put, Store, size_of
from lab.energent.values import fingerprint
from lab.energent.witness import Acknowledged, Witness
from lab.node.api import Api, ApiError, Manifest

PARALLEL = 8
SERVED_S = 20.0
READY_S = 90.0
CUSTOM = frozenset({"AIModel", "GitRepository", "Kustomization"})


class NotReady(Exception):
    """The platform did not become available; the message says what its pods say."""


def batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    """At most 500 writes and about 3 MiB each."""
    batch: list[Put] = []
    size = 0
    for put in puts:
        weight = size_of(put)
        if batch and (len(batch) == BATCH or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(put)
        size += weight
    if batch:
        yield batch


def fill_documents(store: Store, size: Size, source: str, witness: Witness | None) -> int:
    """Writes all documents; how many. Raises grpc.RpcError, WriteRefused."""
    written = 0
    for batch in batches(world(size)):
        store.write_all(batch)
        written += len(batch)
        if witness:
            witness.record(Acknowledged(source, put.path, fingerprint(put.fields)) for put in batch)
    return written


def wipe_documents(store: Store, source: str, witness: Witness) -> int:
    """Deletes every document that is there or that the record believes to be there, and records that; how many. After a
    disaster this is how an operator begins anew with a record that is true again."""
    paths = witness.living(source) | {path for path, _ in store.walk()}
    for batch in batches(Put(path, None) for path in sorted(paths)):
        store.write_all(batch)
        witness.record(Acknowledged(source, put.path, "") for put in batch)
    return len(paths)


def fill_cluster(api: Api, platform: manifests.Platform, tenants: int, witness: Witness | None) -> int:
    """Applies all objects, namespaces and definitions first; how many. Raises ApiError, Unreachable."""
    first, rest = manifests.cluster_objects(), manifests.platform_objects(platform)
    for number in range(1, tenants + 1):
        namespace, *contents = manifests.tenant_objects(number)
        first.append(namespace)
        rest += contents
    with ThreadPoolExecutor(PARALLEL) as pool:
        for stage in (first, rest):
            list(pool.map(lambda manifest: _apply(api, manifest, witness), stage))
    return len(first) + len(rest)


def _apply(api: Api, manifest: Manifest, witness: Witness | None) -> None:
    deadline = time.monotonic() + SERVED_S
    while True:
        try:
            applied = api.apply(manifests.path_of(manifest), manifest)
            break
        except ApiError as error:  # a definition that was just made is not served yet
            if manifest["kind"] not in CUSTOM or error.status != 404 or time.monotonic() > deadline:
                raise
        time.sleep(0.1)
    if applied["kind"] == "PersistentVolume" and applied.get("status", {}).get("phase") == "Released":
        # Its claim was deleted with the namespace; without the old claim's uid a new one of that name may have it.
        api.patch(manifests.path_of(manifest), {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
    if witness:
        witness.record(acknowledged({**applied, "apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}))


def await_platform(api: Api, deadline_s: float = READY_S) -> None:
    """Until the platform's Deployment is available and its volume claims are bound. Raises NotReady."""
    path = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/deployments/{manifests.DEPLOYMENT}"
    deadline = time.monotonic() + deadline_s
    claims = f"/api/v1/namespaces/{manifests.NAMESPACE}/persistentvolumeclaims"
    while not (_available(api.get(path)) and _bound(api.get(claims)["items"])):
        if time.monotonic() > deadline:
            raise NotReady(f"{manifests.DEPLOYMENT} is not available after {deadline_s:g} s: {_complaints(api)}")
        time.sleep(0.2)


def _available(deployment: Manifest) -> bool:
    status = deployment.get("status", {})
    wanted = deployment["spec"].get("replicas", 1)
    current = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(current and status.get("availableReplicas", 0) >= wanted)


def _bound(claims: Sequence[Manifest]) -> bool:
    return all(claim.get("status", {}).get("phase") == "Bound" for claim in claims)


def _complaints(api: Api) -> str:
    found: Sequence[Manifest] = api.get(f"/api/v1/namespaces/{manifests.NAMESPACE}/pods")["items"]
    states = [
        f"{pod['metadata']['name']}: {entry['state']}"
        for pod in found
        for entry in pod.get("status", {}).get("containerStatuses", [])
        if not entry["ready"]
    ]
    return "; ".join(states) or f"{len(found)} pods, or a volume claim that is not bound"
