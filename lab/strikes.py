"""Disasters by the names of the drill scenarios that answer them; loaded into `python -m lab disaster`.

Some are those of `lab/disaster.py` under the scenario's name, the others are here. Only the lab destroys.
"""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import click
import yaml

from lab.disaster import (
    LOST,
    Clock,
    await_gone,
    batches,
    below,
    config_broken,
    database_deleted,
    delete_database,
    delete_topic,
    disaster,
    lab_option,
)
from lab.energent.documents import tenant_id
from lab.energent.manifests import tenant_namespace
from lab.energent.store import Put, Store, Target
from lab.energent.values import Fields
from lab.grants import VELERO_BUCKET
from lab.mischief import dr_processes, kill
from lab.node.api import Api
from lab.state import AUDIT_SINK, REGION, Lab, LabError

DELETERS = 8
IN_DR_SYSTEM = "/apis/apps/v1/namespaces/dr-system/deployments/dr"


@disaster.command("accidental-delete")
@lab_option
@click.option("--tenant", default=1, show_default=True, help="Number of the tenant.")
def accidental_delete(directory: Path, tenant: int) -> None:
    """All documents of one tenant are deleted, and its namespace, where there is a cluster."""
    lab, clock = Lab.load(directory), Clock()
    store, owner = _store(lab, "app"), tenant_id(tenant)
    paths = [f"tenants/{owner}", *below(store, f"tenants/{owner}")]
    for batch in batches([Put(path, None) for path in paths]):
        clock.strike(partial(store.write_all, batch))
    if "operator" in lab.kubeconfigs:
        api, path = Api.open(lab.kubeconfigs["operator"]), f"/api/v1/namespaces/{tenant_namespace(tenant)}"
        clock.strike(partial(api.delete, path))
        await_gone(api, [path])
    clock.report("accidental-delete", tenant=owner, deleted=len(paths))


@disaster.command("ransomware")
@lab_option
@click.option("--wave", default=1, show_default=True, help="Which of the waves: each takes other documents.")
@click.option("--waves", default=3, show_default=True, help="In how many waves all jobs are taken.")
def ransomware(directory: Path, wave: int, waves: int) -> None:
    """One wave of a slow encryption in place: every text of some documents is replaced, while backups go on between waves."""
    lab, clock = Lab.load(directory), Clock()
    store = _store(lab, "app")
    taken = [(path, fields) for path, fields in store.walk() if "/jobs/" in path and _wave_of(path, waves) == wave]
    for batch in batches([Put(path, _encrypted(fields)) for path, fields in taken]):
        clock.strike(partial(store.write_all, batch))
    clock.report("ransomware", wave=wave, encrypted=len(taken))


def _wave_of(path: str, waves: int) -> int:
    return 1 + hashlib.sha256(path.encode()).digest()[0] % waves


def _encrypted(fields: Fields) -> Fields:
    """Same document, same fields, other text: no count and no listing shows it."""
    found = dict(fields)
    for name, value in fields.items():
        if "stringValue" in value:
            found[name] = {"stringValue": hashlib.sha256(str(value["stringValue"]).encode()).hexdigest()}
    return found


@disaster.command("operator-error")
@lab_option
def operator_error(directory: Path) -> None:
    """With every right there is, every object of every vault and of Velero's bucket is deleted: what is locked or held refuses."""
    lab, clock = Lab.load(directory), Clock()
    client = storage_client(lab)
    deleted, refused = dict[str, int](), dict[str, int]()
    for bucket in (*_vaults(lab), VELERO_BUCKET):
        gone = clock.strike(partial(_delete_all, client, bucket))
        deleted[bucket], refused[bucket] = gone.count(True), gone.count(False)
    clock.report("operator-error", deleted=deleted, refused=refused)


def _vaults(lab: Lab) -> list[str]:
    settings = yaml.safe_load(lab.settings.read_text())
    return sorted({str(vault["url"]).removeprefix("gs://").partition("/")[0] for vault in settings["vaults"].values()})


def _delete_all(client: Any, bucket: str) -> list[bool]:
    """Whether each object went."""
    from google.api_core.exceptions import Forbidden

    def delete(blob: Any) -> bool:
        try:
            blob.delete(if_generation_match=blob.generation)
        except Forbidden:
            return False
        return True

    with ThreadPoolExecutor(DELETERS, thread_name_prefix="delete") as pool:
        return list(pool.map(delete, client.list_blobs(bucket)))


def storage_client(lab: Lab) -> Any:
    """Google's own client as the operator, who may do everything that a lock does not forbid."""
    import requests
    from google.auth.transport.requests import AuthorizedSession, Request
    from google.cloud.storage import Client
    from google.oauth2.service_account import Credentials

    scope = "https://www.googleapis.com/auth/cloud-platform"
    credentials = Credentials.from_service_account_file(str(lab.key("operator")), scopes=[scope])
    for_tokens = requests.Session()
    for_tokens.verify, for_tokens.trust_env = str(lab.ca), False
    session = AuthorizedSession(credentials, auth_request=Request(for_tokens))
    session.verify, session.trust_env = str(lab.ca), False
    options = {"api_endpoint": lab.endpoints["storage"]}
    return Client(lab.project, credentials=credentials, client_options=options, _http=session)


@disaster.command("dr-lost")
@lab_option
@click.option("--cache", type=click.Path(path_type=Path), multiple=True, help="More folders of a cache that go too.")
def dr_lost(directory: Path, cache: tuple[Path, ...]) -> None:
    """`dr` goes: its processes in Pods, its Deployment, its caches, and the index in the control repository."""
    lab, clock = Lab.load(directory), Clock()
    if "operator" in lab.kubeconfigs:
        api = Api.open(lab.kubeconfigs["operator"])
        if api.find(IN_DR_SYSTEM) is not None:
            clock.strike(partial(api.delete, IN_DR_SYSTEM))
    for pid in dr_processes(lab):
        clock.strike(partial(kill, pid))
    client, control = storage_client(lab), _control(lab)
    for blob in clock.strike(lambda: list(client.list_blobs(control, prefix="index/"))):
        blob.delete(if_generation_match=blob.generation)
    caches = (lab.directory / "cache", *cache)
    for folder in caches:
        shutil.rmtree(folder, ignore_errors=True)
    clock.report("dr-lost", caches=[str(folder) for folder in caches])


def _control(lab: Lab) -> str:
    return str(yaml.safe_load(lab.settings.read_text())["control"]).removeprefix("gs://").partition("/")[0]


@disaster.command("region-lost")
@lab_option
@click.option("--database", default="", help="Another one than the production database.")
def region_lost(directory: Path, database: str) -> None:
    """All that stands in the platform's region: database, cluster, topic, Velero's bucket, the primary key. The vaults and the
    secondary key are elsewhere. What was lost before stays lost."""
    lab, clock = Lab.load(directory), Clock()
    clock.strike(lambda: kms_region(lab, REGION, "down"))
    clock.strike(partial(_delete_all, storage_client(lab), VELERO_BUCKET))
    with suppress(LabError):
        delete_database(lab, clock, database)
    with suppress(LabError):
        delete_topic(lab, clock)
    for part in LOST:
        with suppress(LabError):
            lab.ask({"op": "kill", "part": part, "signal": "KILL"})
    shutil.rmtree(lab.directory / "data" / "etcd", ignore_errors=True)
    clock.report("region-lost", region=REGION, topic=AUDIT_SINK)


def kms_region(lab: Lab, location: str, way: str) -> None:
    """`down` or `up`."""
    with urlopen(
        Request(f"{lab.endpoints['kms_control']}/regions/{location}/{way}", method="POST"), timeout=30
    ) as answer:
        answer.read()


def _store(lab: Lab, identity: str) -> Store:
    return Store(Target(lab.endpoints["firestore"], lab.project, lab.database, lab.key(identity), lab.ca))


disaster.add_command(database_deleted, "database-lost")
disaster.add_command(config_broken, "configuration-broken")
