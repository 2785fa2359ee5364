"""Every key of the settings file: what it may hold and what it is for. The schema and the template are made from this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

VAULT = "<component>"
"""Stands for the name of a component in a key."""
_URL = r"^(gs://[a-z0-9][a-z0-9._-]*(/.*)?|file://.+)$"
_HTTP = r"^https?://[^/]+/?$"
_ADDRESS = r"^[^/:]+:\d+$"
_KEY = r"^(gcp-kms://projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+|file://.+)$"
_SIGNING = (
    r"^(gcp-kms://projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[0-9]+|file://.+)$"
)
_WEB = r"^https?://\S+$"
_SPAN = r"^\d+(\.\d+)?(ms|s|m|h)$"
_ANY = r"^\S(.*\S)?$"
_NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `settable`: also by environment and flags."""

    pattern: str
    means: str
    """How a value looks, for errors: `write for example <means>`."""
    settable: bool = True

    def fault(self, text: str) -> str:
        """What is wrong with `text`, or nothing."""
        return "" if re.fullmatch(self.pattern, text) else f"{text!r} is not accepted; write for example {self.means}"


KEYS: Mapping[str, Key] = {
    "apiVersion": Key("^dr/v1$", "dr/v1", settable=False),
    "kind": Key("^Settings$", "Settings", settable=False),
    "scope": Key("^(lab|staging|production)$", "lab, staging or production"),
    "control": Key(_URL, "gs://bucket or file:///directory"),
    "strategy": Key(_ANY, "strategy.yaml"),
    f"vaults.{VAULT}.url": Key(_URL, "gs://bucket or file:///directory"),
    f"vaults.{VAULT}.project": Key(_ANY, "energent-backup"),
    f"vaults.{VAULT}.location": Key(_ANY, "us-east1"),
    "credentials.capture": Key(_ANY, "keys/capture.json"),
    "credentials.restore": Key(_ANY, "keys/restore.json"),
    "credentials.prune": Key(_ANY, "keys/prune.json"),
    "kubernetes.capture": Key(_ANY, "kubeconfigs/capture"),
    "kubernetes.restore": Key(_ANY, "kubeconfigs/restore"),
    "endpoints.storage": Key(_HTTP, "https://storage.googleapis.com"),
    "endpoints.firestore": Key(_ADDRESS, "firestore.googleapis.com:443"),
    "endpoints.pubsub": Key(_ADDRESS, "pubsub.googleapis.com:443"),
    "endpoints.kms": Key(_ADDRESS, "cloudkms.googleapis.com:443"),
    "endpoints.logging": Key(_ADDRESS, "logging.googleapis.com:443"),
    "endpoints.resourcemanager": Key(_HTTP, "https://cloudresourcemanager.googleapis.com"),
    "caFile": Key(_ANY, "pki/ca.pem"),
    "keys.primary": Key(
        _KEY, "gcp-kms://projects/p/locations/us-central1/keyRings/r/cryptoKeys/k or file:///etc/dr/key"
    ),
    "keys.evidence": Key(
        _SIGNING,
        "gcp-kms://projects/p/locations/us-east1/keyRings/r/cryptoKeys/evidence/cryptoKeyVersions/1 or file:///etc/dr/evidence.pem",
    ),
    "keys.secondary": Key(_KEY, "gcp-kms://projects/p/locations/us-east1/keyRings/r/cryptoKeys/k"),
    "lease.namespace": Key(_NAME, "dr-system"),
    "lease.name": Key(_NAME, "dr"),
    "lease.duration": Key(_SPAN, "15s"),
    "notifications.webhook": Key(_WEB, "https://alerts.example.com/hook"),
    "notifications.slack": Key(_WEB, "https://hooks.slack.com/services/T/B/X"),
    "deadman.url": Key(_WEB, "https://hc.example.com/ping/abc"),
    "deadman.every": Key(_SPAN, "1m"),
    "serve.address": Key(_ADDRESS, "0.0.0.0:8080"),
    "velero.namespace": Key(_NAME, "velero"),
    "velero.storageLocation": Key(_ANY, "default"),
    "cacheDir": Key(_ANY, "~/.cache/dr"),
}
REQUIRED = ("apiVersion", "kind", "scope", "control")
COMPONENTS = ("cluster", "appdata", "config", "audit")


def key_of(name: str) -> Key | None:
    """The key that a dotted name is, or None."""
    parts = name.split(".")
    if len(parts) == 3 and parts[0] == "vaults" and parts[1] in COMPONENTS:
        return KEYS.get(f"vaults.{VAULT}.{parts[2]}")
    return KEYS.get(name)


def environment_name(name: str) -> str:
    """`cacheDir` -> `DR_CACHE_DIR`, `vaults.cluster.url` -> `DR_VAULTS_CLUSTER_URL`."""
    return "DR_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace(".", "_").upper()


def json_schema() -> dict[str, object]:
    """The JSON Schema of a settings file, as shipped in `dr/schemas/settings.json`."""
    root = _object(KEYS, REQUIRED)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings", **root}


def _object(keys: Mapping[str, Key], required: tuple[str, ...] = ()) -> dict[str, object]:
    groups: dict[str, dict[str, Key]] = {}
    properties: dict[str, object] = {}
    for name, key in keys.items():
        head, separator, rest = name.partition(".")
        if separator:
            groups.setdefault(head, {})[rest] = key
        else:
            properties[name] = {"type": "string", "pattern": key.pattern}
    properties |= {head: _object(inner, ("url",) if "url" in inner else ()) for head, inner in groups.items()}
    if VAULT in properties:
        properties = dict.fromkeys(COMPONENTS, properties[VAULT])
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


TEMPLATE = """\
# How dr reaches its stores and sources. Relative paths are relative to this file.
# Every key can be set in the environment too: control is DR_CONTROL, cacheDir is DR_CACHE_DIR. Flags win over both.
apiVersion: dr/v1
kind: Settings

# lab, staging or production: stands in every report
scope: {scope}

# The table of objectives. Without this line: the one that ships with dr.
strategy: strategy.yaml

# The control repository: run journal, drills, holds. Not retention-locked.
control: {control}

# One vault for each component, retention-locked, ideally in a project and a region of their own:
# a copy counts for the loss of a project or region only if both are declared and differ from the source's.
vaults:
  cluster: {{url: {cluster}, project: {project}, location: {location}}}
  appdata: {{url: {appdata}, project: {project}, location: {location}}}
  config: {{url: {config}, project: {project}, location: {location}}}
  audit: {{url: {audit}, project: {project}, location: {location}}}

# Service account keys. Without them: Application Default Credentials.
# credentials: {{capture: keys/capture.json, restore: keys/restore.json, prune: keys/prune.json}}

# kubeconfig files. Without them: in-cluster, then ~/.kube/config.
# kubernetes: {{capture: kubeconfigs/capture, restore: kubeconfigs/restore}}

# Secrets are sealed under data keys wrapped by both of these: two regions, so that either opens them.
# keys:
#   primary: gcp-kms://projects/{project}/locations/us-central1/keyRings/dr/cryptoKeys/config
#   secondary: gcp-kms://projects/{project}/locations/us-east1/keyRings/dr/cryptoKeys/config
# Reports of drills are signed by this one; without it they say that they are unsigned.
#   evidence: gcp-kms://projects/{project}/locations/us-east1/keyRings/dr/cryptoKeys/evidence/cryptoKeyVersions/1

# Several replicas of `dr run`: the holder of this Lease works.
# lease: {{name: dr, namespace: dr-system, duration: 15s}}

# Who is told of a miss, and the outside address whose silence is the alarm.
# notifications: {{webhook: "https://alerts.example.com/hook", slack: "https://hooks.slack.com/services/T/B/X"}}
# deadman: {{url: "https://hc.example.com/ping/abc", every: 1m}}

# Metrics, health and the status page of `dr run`.
# serve: {{address: "0.0.0.0:8080"}}

velero: {{namespace: velero, storageLocation: default}}
"""


def settings_template(
    scope: str = "production",
    control: str = "gs://energent-dr-control",
    vault: str = "gs://energent-vault-{component}",
    project: str = "energent-backup",
    location: str = "us-east1",
) -> str:
    """What `dr init` writes."""
    return TEMPLATE.format(
        scope=scope,
        control=control,
        **{name: vault.format(component=name) for name in COMPONENTS},
        project=project,
        location=location,
    )
