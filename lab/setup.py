"""The set-up steps of the data half: identities, certificates, settings, buckets, topics, the production database."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping

import urllib3
import yaml

from lab.grants import (
    APPDATA_VAULT,
    AUDIT_VAULT,
    BUCKETS,
    CLUSTER_VAULT,
    CONFIG_VAULT,
    CONTROL_BUCKET,
    BucketSpec,
    apply_grants,
)
from lab.iam import Iam
from lab.kms.names import CONFIG_KEYS, EVIDENCE_KEY
from lab.parts import Site
from lab.pki import create_ca
from lab.state import AUDIT_SINK, IDENTITIES, PROJECT, VAULT_REGION, LabError
from lab.workloads import Workloads

SERVICES = ("storage", "tokens", "firestore", "pubsub", "kms", "apiserver")
DATABASE_TOPICS = {"documents": "firestore-documents"}
AUDIT_TOPICS = {"audit": AUDIT_SINK}
ACK_DEADLINE_S = 10
RETENTION_S = 7 * 86_400
SOFT_DELETE_S = 7 * 86_400


def make_identities(site: Site) -> None:
    """CA and certificates, service accounts with their keys and grants, and the settings that `dr` reads."""
    ca = create_ca(site.pki)
    for service in SERVICES:
        ca.issue(service)
    iam = Iam.create(site.directory, PROJECT, f"https://{site.address('tokens')}/token", IDENTITIES)
    apply_grants(iam)
    Workloads.create(site.directory)
    (site.directory / "dr.yaml").write_text(yaml.safe_dump(settings(site), sort_keys=False))


def settings(site: Site) -> Mapping[str, object]:
    """What production would write too, with other endpoints. Relative paths count from the file."""
    vault = {"project": "energent-backup", "location": VAULT_REGION}
    storage, firestore = f"https://{site.address('storage')}", site.address("firestore")
    return {
        "apiVersion": "dr/v1",
        "kind": "Settings",
        "scope": "lab",
        "control": f"gs://{CONTROL_BUCKET}",
        "vaults": {
            "cluster": {"url": f"gs://{CLUSTER_VAULT}", **vault},
            "appdata": {"url": f"gs://{APPDATA_VAULT}", **vault},
            "config": {"url": f"gs://{CONFIG_VAULT}", **vault},
            "audit": {"url": f"gs://{AUDIT_VAULT}", **vault},
        },
        "credentials": {name: f"keys/{name}.json" for name in ("capture", "restore", "prune")},
        "kubernetes": {name: f"kubeconfigs/{name}" for name in ("capture", "restore")},
        "endpoints": {
            "storage": storage,
            "firestore": firestore,
            "pubsub": site.address("pubsub"),
            "kms": site.address("kms"),
            "logging": site.address("tokens"),
            "resourcemanager": f"https://{site.address('tokens')}",
        },
        "keys": {
            **dict(zip(("primary", "secondary"), (f"gcp-kms://{key}" for key in CONFIG_KEYS), strict=True)),
            "evidence": f"gcp-kms://{EVIDENCE_KEY}/cryptoKeyVersions/1",
        },
        "caFile": "pki/ca.pem",
        "velero": {"namespace": "velero", "storageLocation": "gcp"},
        "cacheDir": "cache",
    }


def make_buckets(site: Site) -> None:
    for bucket in BUCKETS:
        _make_bucket(site, bucket)


def _make_bucket(site: Site, bucket: BucketSpec) -> None:
    query = {"project": PROJECT, **({"enableObjectRetention": "true"} if bucket.object_retention else {})}
    body = {
        "name": bucket.name,
        "location": bucket.location.upper(),
        "versioning": {"enabled": True},
        "softDeletePolicy": {"retentionDurationSeconds": str(SOFT_DELETE_S)},
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
    }
    url = f"https://{site.address('storage')}/storage/v1/b?{urllib.parse.urlencode(query)}"
    token = Iam.open(site.directory).token("operator")
    status, answer = _call("POST", url, body, token, str(site.ca))
    if status not in (200, 409):
        raise LabError(f"bucket {bucket.name} could not be made: the storage server answered {status} {answer}")


def make_topics(site: Site) -> None:
    """Straight on the emulator: set-up needs no identity. The audit topic gets its subscription before any sink writes."""
    for topic in (*DATABASE_TOPICS.values(), *AUDIT_TOPICS.values()):
        _make(site, f"projects/{PROJECT}/topics/{topic}", {})
    body = {
        "topic": f"projects/{PROJECT}/topics/{AUDIT_SINK}",
        "ackDeadlineSeconds": ACK_DEADLINE_S,
        "messageRetentionDuration": f"{RETENTION_S}s",
    }
    _make(site, f"projects/{PROJECT}/subscriptions/{AUDIT_SINK}", body)


def _make(site: Site, name: str, body: Mapping[str, object]) -> None:
    status, answer = _call("PUT", f"http://{site.address('pubsub-emulator')}/v1/{name}", body, "", None)
    if status not in (200, 409):
        raise LabError(f"{name} could not be made: the Pub/Sub emulator answered {status} {answer}")


def _call(method: str, url: str, body: object, token: str, ca: str | None) -> tuple[int, str]:
    pool = urllib3.PoolManager(ca_certs=ca, retries=urllib3.Retry(3, backoff_factor=0.2, allowed_methods=None))
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        response = pool.request(method, url, body=json.dumps(body).encode(), headers=headers, timeout=20)
    except urllib3.exceptions.HTTPError as error:
        raise LabError(f"{method} {url}: {error}") from error
    return response.status, response.data.decode(errors="replace")[:300]


def make_database(site: Site) -> None:
    """The production database, made by the operator, in a process of its own: gRPC's threads in the supervisor would
    abort the children that it forks afterwards."""
    argv = [sys.executable, "-m", "lab.database", site.address("firestore"), str(site.directory), str(site.ca)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise LabError((done.stderr.strip().splitlines() or ["no reason was given"])[-1])
