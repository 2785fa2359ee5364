"""`python -m lab.energent`: fill the world, and keep writing into it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import click
import grpc

from lab.energent import manifests, world
from lab.energent.audit import AuditEntries, Publisher
from lab.energent.documents import Size
from lab.energent.store import Store, Target, WriteRefused
from lab.energent.witness import Witness, appdata_source
from lab.energent.writer import Changes, ConfigMaps, Documents, Settings, Writer
from lab.node.api import Api, ApiError, Unreachable
from lab.state import Lab, LabError

ONLY = ("firestore", "kubernetes", "both", "audit", "all")
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
lab_option = click.option("--lab", "directory", type=click.Path(path_type=Path), default=".lab", show_default=True)


@click.group(help=__doc__)
def energent() -> None:
    """See the module."""


def target(lab: Lab, identity: str) -> Target:
    """The production database as that identity reaches it."""
    return Target(lab.endpoints["firestore"], lab.project, lab.database, lab.key(identity), lab.ca)


@energent.command()
@lab_option
@click.option("--tenants", default=10, show_default=True)
@click.option("--documents", default=2000, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--min-replicas", default=1, show_default=True, help="Of the autoscaler; production has 3.")
@click.option("--only", type=click.Choice(["firestore", "kubernetes"]))
@click.option("--witness", type=click.Path(path_type=Path), help="Record every acknowledged write there.")
@click.option("--wait/--no-wait", default=True, help="Until the platform is available.")
def fill(
    directory: Path,
    tenants: int,
    documents: int,
    seed: int,
    min_replicas: int,
    only: str | None,
    witness: Path | None,
    wait: bool,
) -> None:
    """Make the world: documents in Firestore, objects in the cluster. Twice is as good as once."""
    lab = Lab.load(directory)
    done: dict[str, float] = {}
    with ExitStack() as stack:
        record = stack.enter_context(Witness(witness)) if witness else None
        began = time.monotonic()
        if only != "kubernetes":
            store = Store(target(lab, "operator"))
            source = appdata_source(lab.database)
            done["documents"] = world.fill_documents(store, Size(tenants, documents, seed), source, record)
            done["documents_s"] = round(time.monotonic() - began, 3)
        if only != "firestore" and (only or "operator" in lab.kubeconfigs):
            began = time.monotonic()
            api = Api.open(cluster_access(lab, "operator"))
            done["objects"] = world.fill_cluster(api, platform(lab, min_replicas), tenants, record)
            if wait:
                world.await_platform(api)
            done["objects_s"] = round(time.monotonic() - began, 3)
    click.echo(json.dumps(done))


@energent.command()
@lab_option
@click.option("--witness", type=click.Path(path_type=Path), required=True, help="The record to keep true.")
def wipe(directory: Path, witness: Path) -> None:
    """Delete all documents, recorded as deletions: to begin anew after a disaster."""
    lab = Lab.load(directory)
    with Witness(witness) as record:
        count = world.wipe_documents(Store(target(lab, "operator")), appdata_source(lab.database), record)
    click.echo(json.dumps({"deleted": count}))


def cluster_access(lab: Lab, identity: str) -> Path:
    """Raises LabError when the lab has no cluster."""
    if identity not in lab.kubeconfigs:
        raise LabError("this lab has no cluster: `python -m lab up` adds it")
    return lab.kubeconfigs[identity]


def platform(lab: Lab, min_replicas: int) -> manifests.Platform:
    key, ca = lab.key("app").read_bytes(), lab.ca.read_text()
    where = lab.project, lab.region, lab.database, lab.endpoints["firestore"]
    return manifests.Platform(*where, key, ca, min_replicas)


@energent.command()
@lab_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The witness file; appended to.")
@click.option("--rate", default=20.0, show_default=True, help="Document writes per second.")
@click.option("--configmap-rate", default=2.0, show_default=True, help="ConfigMap writes per second.")
@click.option("--config-rate", default=2.0, show_default=True, help="Configuration writes per second; 0: none.")
@click.option("--audit-rate", default=5.0, show_default=True, help="Audit entries per second; 0: none.")
@click.option("--only", type=click.Choice(ONLY), default="both", show_default=True, help="all: audit entries too.")
@click.option("--seconds", type=float, help="Stop after that long.")
@click.option("--until-signal", is_flag=True, help="Write until SIGTERM or SIGINT (the default).")
def write(
    directory: Path,
    out: Path,
    rate: float,
    configmap_rate: float,
    config_rate: float,
    audit_rate: float,
    only: str,
    seconds: float | None,
    until_signal: bool,
) -> None:
    """Keep writing, and record each write after its acknowledgement. Prints READY after the first one."""
    if seconds is not None and until_signal:
        raise click.UsageError("--seconds and --until-signal exclude each other")
    lab, stop, acknowledged = Lab.load(directory), threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Witness(out) as witness:
        writers = _writers(lab, only, rate, (configmap_rate, config_rate), witness, stop, acknowledged)
        writers += _audit_writers(lab, only, audit_rate, witness, stop, acknowledged)
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        _attend(threads, stop, acknowledged, seconds)
    click.echo(json.dumps({"written": sum(w.written for w in writers), "errors": sum(w.errors for w in writers)}))


def _attend(
    threads: list[threading.Thread], stop: threading.Event, acknowledged: threading.Event, seconds: float | None
) -> None:
    deadline = None if seconds is None else time.monotonic() + seconds
    while not acknowledged.wait(0.1) and not stop.is_set():
        pass
    if acknowledged.is_set():
        print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
    stop.wait(None if deadline is None else max(deadline - time.monotonic(), 0))
    stop.set()
    for thread in threads:
        thread.join()


def _writers(
    lab: Lab, only: str, rate: float, cluster_rates: tuple[float, float], witness: Witness, *events: threading.Event
) -> list[Writer]:
    """The tag makes the paths of two runs differ: a path in doubt is never written by another run."""
    stop, acknowledged = events
    tag, writers = base36(time.time_ns() // 1_000_000), []
    if only == "audit":
        return []
    store = Store(target(lab, "app"))
    tenants = _tenants(store)
    if only != "kubernetes":
        changes = Documents(store, appdata_source(lab.database), tenants, tag)
        writers.append(Writer(changes, witness, rate, stop, acknowledged))
    if only != "firestore" and (only == "kubernetes" or "app" in lab.kubeconfigs):
        maps = ConfigMaps(Api.open(cluster_access(lab, "app")), tenants, tag)
        # whoever releases the platform changes its Secrets and roles, never the platform itself
        released = Settings(Api.open(cluster_access(lab, "operator")), tenants, tag)
        both: tuple[Changes, ...] = (maps, released)
        pairs = zip(both, cluster_rates, strict=True)
        writers += [Writer(some, witness, each, stop, acknowledged) for some, each in pairs if each > 0]
    return writers


def _audit_writers(lab: Lab, only: str, rate: float, witness: Witness, *events: threading.Event) -> list[Writer]:
    """The sink of Cloud Logging; at many a second several entries go in one request."""
    if only not in ("audit", "all") or rate <= 0 or "audit" not in lab.topics:
        return []
    reached = Target(lab.endpoints["pubsub"], lab.project, "", lab.key("logging-agent"), lab.ca)
    publisher = Publisher(reached, f"projects/{lab.project}/topics/{lab.topics['audit']}")
    batch = max(1, round(rate / 10))
    entries = AuditEntries(publisher, lab.project, base36(time.time_ns() // 1_000_000), batch)
    stop, acknowledged = events
    return [Writer(entries, witness, rate / batch, stop, acknowledged)]


def _tenants(store: Store) -> int:
    found = store.get("meta/platform")
    if found is None:
        raise LabError("the database is empty: fill it with `python -m lab.energent fill`")
    return int(str(found["tenants"]["integerValue"]))


def base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = BASE36[rest] + digits
    return digits


def run() -> None:
    """One sentence instead of a traceback for what the lab answers."""
    try:
        energent()
    except (LabError, ApiError, Unreachable, WriteRefused, world.NotReady) as error:
        sys.exit(f"energent: {error}")
    except grpc.RpcError as error:
        sys.exit(f"energent: Firestore answered {error.code().name}: {error.details()}")


if __name__ == "__main__":
    run()
