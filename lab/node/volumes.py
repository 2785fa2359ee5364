"""A pod's volumes as directories of the node: written before the containers start, refreshed while they run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.node.api import Api, Manifest
from lab.node.environment import ConfigError, Lookup, contents, field_value

TOKEN_SECONDS = 3607
RENEW_AFTER = 0.8  # of a token's lifetime, as a kubelet does


@dataclass
class Tokens:
    """Service-account tokens of one pod, asked from the TokenRequest API and renewed before they expire."""

    api: Api
    pod: Manifest
    monotonic: Callable[[], float] = time.monotonic
    _held: dict[tuple[str, int], tuple[float, bytes]] = field(default_factory=dict)

    def get(self, audience: str = "", seconds: int = TOKEN_SECONDS) -> bytes:
        """Raises ApiError, Unreachable."""
        taken, token = self._held.get((audience, seconds), (float("-inf"), b""))
        if self.monotonic() - taken > seconds * RENEW_AFTER:
            token = self._request(audience, seconds)
            self._held[audience, seconds] = (self.monotonic(), token)
        return token

    def _request(self, audience: str, seconds: int) -> bytes:
        meta, account = self.pod["metadata"], self.pod["spec"].get("serviceAccountName", "default")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        spec: Manifest = {"expirationSeconds": max(seconds, 600), "boundObjectRef": bound}
        spec |= {"audiences": [audience]} if audience else {}
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.api.create(path, body)["status"]["token"]).encode()


@dataclass(frozen=True)
class VolumeSet:
    """Materialises the volumes of one pod under `directory`; `host` stands for the node's own file system.

    hostPath and local volumes live under `host`, never at the path itself: a pod of the lab cannot touch the machine.
    """

    api: Api
    pod: Manifest
    directory: Path
    host: Path
    lookup: Lookup
    tokens: Tokens

    def materialise(self, status: Manifest) -> dict[str, Path]:
        """Name -> directory (or file). Writes what changed. Raises ConfigError, ApiError, Unreachable."""
        return {volume["name"]: self._one(volume, status) for volume in self.pod["spec"].get("volumes", [])}

    def _one(self, volume: Manifest, status: Manifest) -> Path:
        if "hostPath" in volume:
            return self._on_host(volume["hostPath"]["path"])
        if "persistentVolumeClaim" in volume:
            return self._claimed(volume["persistentVolumeClaim"]["claimName"])
        target = self.directory / str(volume["name"])
        target.mkdir(parents=True, exist_ok=True)
        if "emptyDir" not in volume:
            write_files(target, self._files(volume, status))
        return target

    def _on_host(self, path: str) -> Path:
        target = self.host / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        return target

    def _claimed(self, name: str) -> Path:
        claim = self.api.find(f"/api/v1/namespaces/{self.pod['metadata']['namespace']}/persistentvolumeclaims/{name}")
        volume_name = (claim or {}).get("spec", {}).get("volumeName")
        if claim is None or not volume_name or claim.get("status", {}).get("phase") != "Bound":
            raise ConfigError(f'persistentvolumeclaim "{name}" is not bound')
        spec = self.api.get(f"/api/v1/persistentvolumes/{volume_name}")["spec"]
        for kind in ("hostPath", "local"):
            if kind in spec:
                return self._on_host(str(spec[kind]["path"]))
        raise ConfigError(f'persistentvolume "{volume_name}" is of a kind that this node cannot mount')

    def _files(self, volume: Manifest, status: Manifest) -> dict[str, bytes]:
        if "projected" in volume:
            files: dict[str, bytes] = {}
            for source in volume["projected"].get("sources", []):
                files |= self._projection(source, status)
            return files
        if "secret" in volume:  # a volume says secretName where a projection says name
            secret = volume["secret"]
            return self._projection({"secret": secret | {"name": secret["secretName"]}}, status)
        return self._projection(volume, status)

    def _projection(self, source: Manifest, status: Manifest) -> dict[str, bytes]:
        if token := source.get("serviceAccountToken"):
            seconds = token.get("expirationSeconds", TOKEN_SECONDS)
            return {token["path"]: self.tokens.get(token.get("audience", ""), seconds)}
        if downward := source.get("downwardAPI"):
            return {item["path"]: self._field(item, status) for item in downward.get("items", [])}
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if reference := source.get(key):
                optional = bool(reference.get("optional"))
                found = contents(kind, reference["name"], self.lookup, optional=optional)
                return _selected(found, reference, kind, optional=optional)
        raise ConfigError(f"this node cannot mount a volume of kind {', '.join(set(source) - {'name'})}")

    def _field(self, item: Manifest, status: Manifest) -> bytes:
        if "fieldRef" not in item:
            return b"0"
        return field_value(item["fieldRef"]["fieldPath"], self.pod, status).encode()


def _selected(found: Mapping[str, bytes], reference: Manifest, kind: str, *, optional: bool) -> dict[str, bytes]:
    if "items" not in reference:
        return dict(found)
    files = {}
    for item in reference["items"]:
        if item["key"] in found:
            files[item["path"]] = found[item["key"]]
        elif not optional:
            raise ConfigError(f'{kind.lower()} "{reference["name"]}" has no key {item["key"]}')
    return files


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Makes the directory hold exactly these files; each changes at once, by rename."""
    for name, content in files.items():
        target = directory / name
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.new")
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            os.replace(fresh, target)
    for target in directory.rglob("*"):
        if target.is_file() and str(target.relative_to(directory)) not in files:
            target.unlink()


def mounts(container: Manifest, places: Mapping[str, Path]) -> list[dict[str, str]]:
    """What the launcher binds for one container: source, target, read_only ("" or "1")."""
    found = []
    for entry in container.get("volumeMounts", []):
        source: Path = places[entry["name"]]
        if below := entry.get("subPath"):
            source = source / below
            if not source.exists():
                source.mkdir(parents=True)
        read_only = "1" if entry.get("readOnly") else ""
        found.append({"source": str(source), "target": entry["mountPath"].rstrip("/"), "read_only": read_only})
    return found
