"""Audit entries as Cloud Logging writes them, put on the topic the way its sink does: at least once, now and then twice."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import grpc
from google.pubsub_v1 import types

from lab.energent.store import Target, channel
from lab.energent.witness import AUDIT_SOURCE, Acknowledged
from lab.energent.writer import REFUSALS, Change, Refused, Unknown

TWICE = 0.05
"""Share of entries that the sink delivers a second time."""
PUBLISH_S = 30.0
_LOG = "projects/{project}/logs/cloudaudit.googleapis.com%2F{log}"
_CALLS: Sequence[tuple[str, str, str, str]] = (
    # log, service, method, resource
    ("activity", "container.googleapis.com", "google.container.v1.ClusterManager.UpdateNodePool",
     "projects/{project}/locations/us-central1/clusters/energent-production/nodePools/pool-{n}"),
    ("activity", "k8s.io", "io.k8s.core.v1.secrets.update", "core/v1/namespaces/t-{n:03d}/secrets/tenant-key"),
    ("activity", "iam.googleapis.com", "google.iam.admin.v1.CreateServiceAccountKey",
     "projects/-/serviceAccounts/energent-{n}@{project}.iam.gserviceaccount.com"),
    ("activity", "storage.googleapis.com", "storage.setIamPermissions", "projects/_/buckets/energent-{n}"),
    ("data_access", "firestore.googleapis.com", "google.firestore.v1.Firestore.Commit",
     "projects/{project}/databases/energent-metadata-production"),
    ("data_access", "secretmanager.googleapis.com", "google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion",
     "projects/{project}/secrets/tenant-{n}/versions/1"),
)  # fmt: skip
_PEOPLE = ("ana.müller", "kenji", "o'neil", "deploy-bot", "sre-oncall")


def audit_entry(rng: random.Random, project: str, number: int, tag: str, at: datetime) -> dict[str, Any]:
    """One entry of the kinds that the sink `energent-security-sink` sends."""
    log, service, method, resource = _CALLS[rng.randrange(len(_CALLS))]
    refused = rng.random() < 0.1
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{rng.randrange(1000):03d}Z"
    payload = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": service,
        "methodName": method,
        "resourceName": resource.format(project=project, n=rng.randrange(100) + 1),
        "authenticationInfo": {"principalEmail": f"{_PEOPLE[rng.randrange(len(_PEOPLE))]}@energent.example"},
        "requestMetadata": {
            "callerIp": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
            "callerSuppliedUserAgent": "kubectl/1.35",
        },
        "authorizationInfo": [{"permission": method, "granted": not refused, "resource": "*"}],
        "status": {"code": 7, "message": "PERMISSION_DENIED"} if refused else {},
        "request": {"@type": "type.googleapis.com/request", "note": f"изменение {number}", "ratio": rng.random()},
        "response": {"etag": f"{rng.getrandbits(64):x}"},
    }
    return {
        "logName": _LOG.format(project=project, log=log),
        "timestamp": stamp,
        "receiveTimestamp": stamp,
        "insertId": f"{tag}-{number}",
        "severity": "ERROR" if refused else "NOTICE",
        "resource": {"type": "audited_resource", "labels": {"project_id": project, "service": service}},
        "protoPayload": payload,
    }


def entry_path(entry: Mapping[str, Any]) -> str:
    """What identifies it, as the record of writes names it."""
    return f"{entry['timestamp']}|{entry['logName']}|{entry['insertId']}"


def entry_fingerprint(entry: Mapping[str, Any]) -> str:
    """SHA-256 of its canonical JSON."""
    return hashlib.sha256(
        json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


class Publisher:
    """Puts messages on one topic, by Pub/Sub's own messages."""

    def __init__(self, target: Target, topic: str) -> None:
        self.topic = topic
        request, response = types.PublishRequest.pb(), types.PublishResponse.pb()
        self._kind, self._message = request, types.PubsubMessage.pb()
        self._call = channel(target).unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def publish(self, datas: Sequence[bytes]) -> None:
        """Returns when Pub/Sub has taken all of them. Raises grpc.RpcError."""
        attributes = {"logging.googleapis.com/timestamp": datetime.now(UTC).isoformat()}
        messages = [self._message(data=data, attributes=attributes) for data in datas]
        routing = [("x-goog-request-params", f"topic={quote(self.topic, safe='')}")]
        self._call(self._kind(topic=self.topic, messages=messages), timeout=PUBLISH_S, metadata=routing)


class AuditEntries:
    """Changes for `Writer`: one or more entries each."""

    def __init__(self, publisher: Publisher, project: str, tag: str, batch: int = 1) -> None:
        self._publisher, self._project, self._tag, self._batch = publisher, project, tag, batch
        self._rng, self._made = random.Random(tag), 0
        self._again: list[bytes] = []

    def next(self) -> Change:
        """New entries, and some of the last ones once more."""
        entries = [self._entry() for _ in range(self._batch)]
        datas = [json.dumps(entry, ensure_ascii=False).encode() for entry in entries]
        sent = [*datas, *self._again]
        self._rng.shuffle(sent)
        self._again = [data for data in datas if self._rng.random() < TWICE]
        record = [Acknowledged(AUDIT_SOURCE, entry_path(entry), entry_fingerprint(entry)) for entry in entries]
        return Change(lambda: self._send(sent, record[0].path), record)

    def _entry(self) -> dict[str, Any]:
        self._made += 1
        return audit_entry(self._rng, self._project, self._made, self._tag, datetime.now(UTC))

    def _send(self, datas: Sequence[bytes], path: str) -> None:
        try:
            self._publisher.publish(datas)
        except grpc.RpcError as error:
            kind = Refused if error.code() in REFUSALS else Unknown
            raise kind(f"{path}: {error.code().name}: {error.details()}") from error
