"""`python -m lab disaster NAME`: the lab destroys things, so that `dr` can be measured; `dr` itself ships no destroyer.

Each prints JSON: `disaster`; `at`, the instant just before the first destructive request, so that a state read at `at` is
still whole; `acknowledged_at`, when the first of them was acknowledged; and its scope.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
import grpc
import yaml

from lab.energent.configuration import broken
from lab.energent.damage import Shelf, damage
from lab.energent.documents import tenant_id
from lab.energent.manifests import NAMESPACE, TENANT_LABEL
from lab.energent.store import BATCH, Put, Store, Target, WriteRefused
from lab.energent.values import string
from lab.node.api import Api, ApiError, Unreachable
from lab.state import AUDIT_SINK, Lab, LabError

GONE_S = 120.0
T = TypeVar("T")


def instant(moment: datetime) -> str:
    """RFC 3339 UTC with microseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Clock:
    """When the first destructive request was sent, and when it was acknowledged."""

    at: str = ""
    acknowledged_at: str = ""

    def strike(self, request: Callable[[], T]) -> T:
        """Does one destructive request."""
        self.at = self.at or instant(datetime.now(UTC))
        answer = request()
        self.acknowledged_at = self.acknowledged_at or instant(datetime.now(UTC))
        return answer

    def report(self, name: str, **scope: object) -> None:
        click.echo(json.dumps({"disaster": name, "at": self.at, "acknowledged_at": self.acknowledged_at, **scope}))


class OneSentence(click.Group):
    """What the lab answers becomes one sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (LabError, ApiError, Unreachable, WriteRefused) as error:
            raise click.ClickException(str(error)) from error
        except grpc.RpcError as error:
            raise click.ClickException(f"Firestore answered {error.code().name}: {error.details()}") from error


@click.group(cls=OneSentence)
def disaster() -> None:
    """Strike the lab, and print when."""


lab_option = click.option("--dir", "directory", type=click.Path(path_type=Path), default=".lab", show_default=True)


@disaster.command("bad-deploy")
@lab_option
@click.option("--tenants", default=1, show_default=True, help="How many tenants it hits, from t-001 on.")
def bad_deploy(directory: Path, tenants: int) -> None:
    """A release that deletes every second document of a tenant and overwrites the others."""
    lab, clock = Lab.load(directory), Clock()
    store = Store(Target(lab.endpoints["firestore"], lab.project, lab.database, lab.key("app"), lab.ca))
    hit = [tenant_id(number) for number in range(1, tenants + 1)]
    victims = [path for owner in hit for path in (f"tenants/{owner}", *below(store, f"tenants/{owner}"))]
    ruin = {"state": string("migrated by release 2025.5.1")}
    puts = [Put(path, ruin if index % 2 else None) for index, path in enumerate(victims)]
    for batch in batches(puts):
        clock.strike(partial(store.write_all, batch))
    deleted = sum(put.fields is None for put in puts)
    clock.report("bad-deploy", tenants=hit, deleted=deleted, overwritten=len(puts) - deleted)


def below(store: Store, path: str) -> Iterator[str]:
    return (name for name, _ in store.walk(path))


def batches(puts: Sequence[Put]) -> Iterator[Sequence[Put]]:
    return (puts[start : start + BATCH] for start in range(0, len(puts), BATCH))


@disaster.command("database-deleted")
@lab_option
@click.option("--database", default="", help="Another one than the production database.")
def database_deleted(directory: Path, database: str) -> None:
    """The operator takes delete protection off and deletes the production database."""
    lab, clock = Lab.load(directory), Clock()
    clock.report("database-deleted", database=delete_database(lab, clock, database))


def delete_database(lab: Lab, clock: Clock, database: str = "") -> str:
    """Its full name. Raises LabError."""
    from google.api_core.exceptions import GoogleAPIError  # slow imports, wanted by this command only
    from google.cloud.firestore_admin_v1 import FirestoreAdminClient
    from google.cloud.firestore_admin_v1.services.firestore_admin.transports import FirestoreAdminGrpcTransport
    from google.cloud.firestore_admin_v1.types import Database

    from lab.energent.store import channel

    target = Target(lab.endpoints["firestore"], lab.project, database or lab.database, lab.key("operator"), lab.ca)
    client = FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel(target)))
    off = Database.DeleteProtectionState.DELETE_PROTECTION_DISABLED
    try:
        change = {"name": target.root, "delete_protection_state": off}
        mask = {"paths": ["delete_protection_state"]}
        client.update_database(request={"database": change, "update_mask": mask}, timeout=30).result(timeout=60)
        clock.strike(lambda: client.delete_database(request={"name": target.root}, timeout=30)).result(timeout=60)
    except GoogleAPIError as error:
        raise LabError(f"the database could not be deleted: {error}") from error
    return target.root


@disaster.command("audit-store-lost")
@lab_option
def audit_store_lost(directory: Path) -> None:
    """Subscription and topic are deleted, and every local cache with them: what is left of the audit log is in the vault."""
    lab, clock = Lab.load(directory), Clock()
    subscription, topic = delete_topic(lab, clock)
    cache = lab.directory / "cache"  # of `dr`, as the lab's settings say; not that of the lab's binaries
    shutil.rmtree(cache, ignore_errors=True)
    clock.report("audit-store-lost", subscription=subscription, topic=topic, cache=str(cache))


def delete_topic(lab: Lab, clock: Clock) -> tuple[str, str]:
    """Full names of the subscription and its topic. Raises LabError."""
    from google.api_core.exceptions import GoogleAPIError
    from google.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    from lab.energent.store import channel

    way = channel(Target(lab.endpoints["pubsub"], lab.project, "", lab.key("operator"), lab.ca))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=way))
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=way))
    subscription = f"projects/{lab.project}/subscriptions/{AUDIT_SINK}"
    topic = f"projects/{lab.project}/topics/{AUDIT_SINK}"
    try:
        clock.strike(lambda: subscriber.delete_subscription(subscription=subscription, timeout=30))
        clock.strike(lambda: publisher.delete_topic(topic=topic, timeout=30))
    except GoogleAPIError as error:
        raise LabError(f"the audit log's store could not be deleted: {error}") from error
    return subscription, topic


@disaster.command("namespace-deleted")
@lab_option
@click.option("--tenants/--no-tenants", default=True, help="The tenants' namespaces too.")
@click.option("--wait/--no-wait", default=True, help="Until they are gone.")
def namespace_deleted(directory: Path, tenants: bool, wait: bool) -> None:
    """The platform's namespace is deleted, and its tenants' with it."""
    lab, clock = Lab.load(directory), Clock()
    if "operator" not in lab.kubeconfigs:
        raise LabError("this lab has no cluster: `python -m lab up` adds it")
    api = Api.open(lab.kubeconfigs["operator"])
    names = [NAMESPACE, *(_tenant_namespaces(api) if tenants else [])]
    paths = [f"/api/v1/namespaces/{name}" for name in names]
    for path in paths:
        clock.strike(partial(api.delete, path))
    if wait:
        await_gone(api, paths)
    clock.report("namespace-deleted", namespaces=names)


def _tenant_namespaces(api: Api) -> list[str]:
    found = api.get("/api/v1/namespaces", labelSelector=f"{TENANT_LABEL}=true")["items"]
    return [entry["metadata"]["name"] for entry in found]


def await_gone(api: Api, paths: Sequence[str]) -> None:
    deadline, left = time.monotonic() + GONE_S, list(paths)
    while left := [path for path in left if api.find(path) is not None]:
        if time.monotonic() > deadline:
            raise LabError(f"still there after {GONE_S:g} s: {', '.join(left)}")
        time.sleep(0.2)


@disaster.command("config-broken")
@lab_option
def config_broken(directory: Path) -> None:
    """A wrong release: bad values in ConfigMaps and a Secret, rights taken away, the autoscaler tied, Flux misled."""
    lab, clock = Lab.load(directory), Clock()
    if "operator" not in lab.kubeconfigs:
        raise LabError("this lab has no cluster: `python -m lab up` adds it")
    api = Api.open(lab.kubeconfigs["operator"])
    changes = broken(_tenant_namespaces(api))
    for method, path, patch in changes:
        clock.strike(partial(api.patch, path, patch) if patch else partial(api.request, method, path))
    clock.report("config-broken", objects=[path for _, path, _ in changes])


@disaster.command("vault-artefact-damaged")
@lab_option
@click.option("--point", required=True, help="points/<yyyy>/<mm>/<dd>/<slot>.json")
@click.option("--artefact", default="*", show_default=True, help="Pattern of the artefact's name.")
@click.option("--how", type=click.Choice(["flip", "truncate", "drop", "swap"]), default="flip", show_default=True)
@click.option("--forge", is_flag=True, help="The store's own checksums follow the damage (flip, truncate).")
def vault_artefact_damaged(directory: Path, point: str, artefact: str, how: str, forge: bool) -> None:
    """One artefact of a point is damaged in the vault, behind the storage server's back: no lock prevents that."""
    lab, clock = Lab.load(directory), Clock()
    bucket, prefix = _vault(lab, point)
    shelf = Shelf(lab.directory / "data" / "storage")
    try:
        chosen = clock.strike(lambda: damage(shelf, bucket, prefix, point, artefact, how, forge))
    finally:
        shelf.close()
    where = f"gs://{bucket}/{prefix}{chosen}"
    clock.report("vault-artefact-damaged", point=point, artefact=chosen, url=where, how=how, forged=forge)


def _vault(lab: Lab, point: str) -> tuple[str, str]:
    """Bucket and prefix of the vault that holds the point: its slot's name begins with the component."""
    component = Path(point).name.partition(".")[0]
    vaults = yaml.safe_load(lab.settings.read_text())["vaults"]
    if component not in vaults:
        raise LabError(f"{point}: no vault for component {component!r}")
    bucket, _, prefix = str(vaults[component]["url"]).removeprefix("gs://").partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def _kill(directory: Path, name: str, part: str) -> None:
    lab, clock = Lab.load(directory), Clock()
    clock.strike(lambda: lab.ask({"op": "kill", "part": part, "signal": "KILL"}))
    clock.report(name, part=part)


@disaster.command("velero-down")
@lab_option
def velero_down(directory: Path) -> None:
    """The Velero server is killed."""
    _kill(directory, "velero-down", "velero")


@disaster.command("apiserver-down")
@lab_option
def apiserver_down(directory: Path) -> None:
    """The Kubernetes API server is killed."""
    _kill(directory, "apiserver-down", "apiserver")


LOST = ("node", "velero", "scheduler", "controller-manager", "apiserver", "etcd")


@disaster.command("cluster-lost")
@lab_option
def cluster_lost(directory: Path) -> None:
    """The cluster goes for good: every process of it is killed, and etcd's data are removed."""
    lab, clock = Lab.load(directory), Clock()
    for part in LOST:
        clock.strike(partial(lab.ask, {"op": "kill", "part": part, "signal": "KILL"}))
    shutil.rmtree(lab.directory / "data" / "etcd")
    clock.report("cluster-lost", parts=list(LOST))
