"""A small Kubernetes client of the lab's own: raw JSON over HTTPS with the token of a kubeconfig.

Independent of the product's adapter on purpose: what sets the stage must not share the bugs of what is judged on it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import urllib3
import yaml

from lab.state import LabError

Manifest = Mapping[str, object]


def write_kubeconfig(path: Path, server: str, ca: Path, user: str, token: str) -> None:
    """A kubeconfig with a bearer token, mode 0600."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))


class KubeError(LabError):
    """The API server's refusal; `status` is its HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Kubernetes answered {status}: {message}")
        self.status = status


class Kube:
    """One identity's view of the API server. Safe to share between threads."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self.server: str = cluster["server"]
        self._headers = {"Authorization": f"Bearer {document['users'][0]['user']['token']}"}
        self._pool = urllib3.PoolManager(ca_certs=cluster["certificate-authority"], maxsize=8, retries=False)
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> Manifest:
        """JSON in, JSON out. Raises KubeError, also for an API server that can't be reached (status 0)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": content_type}
        try:
            response = self._pool.request(method, self.server + path, body=data, headers=headers, timeout=30)
        except urllib3.exceptions.HTTPError as error:
            raise KubeError(0, str(error)) from error
        return _decode(response.status, response.data)

    def get(self, path: str) -> Manifest:
        return self.request("GET", path)

    def find(self, path: str) -> Manifest | None:
        """None when it does not exist."""
        try:
            return self.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str) -> list[Manifest]:
        """All objects of a list path."""
        listed = self.get(path)["items"]
        assert isinstance(listed, list)
        return listed

    def delete(self, path: str) -> None:
        """Gone already is fine."""
        try:
            self.request("DELETE", path)
        except KubeError as error:
            if error.status != 404:
                raise

    def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply as field manager `lab`."""
        path = f"{self.path_of(manifest)}?fieldManager=lab&force=true"
        return self.request("PATCH", path, manifest, content_type="application/apply-patch+yaml")

    def apply_all(self, manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            self.apply(manifest)

    def patch(self, path: str, body: Manifest) -> Manifest:
        """JSON merge patch."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def path_of(self, manifest: Manifest) -> str:
        """Where an object lives: `/apis/apps/v1/namespaces/n/deployments/d`."""
        version, kind = str(manifest["apiVersion"]), str(manifest["kind"])
        metadata = manifest["metadata"]
        assert isinstance(metadata, Mapping)
        plural, namespaced = self._resource(version, kind)
        scope = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{_root(version)}{scope}/{plural}/{metadata['name']}"

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._plurals:
            resources = self.get(_root(version))["resources"]
            assert isinstance(resources, list)
            for resource in resources:
                if "/" not in resource["name"]:
                    self._plurals[version, resource["kind"]] = (resource["name"], resource["namespaced"])
        try:
            return self._plurals[version, kind]
        except KeyError:
            raise KubeError(404, f"{version} has no kind {kind}") from None


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _decode(status: int, data: bytes) -> Manifest:
    try:
        document = json.loads(data) if data else {}
    except ValueError:
        document = {"message": data.decode(errors="replace")}
    if status >= 300:
        raise KubeError(status, str(document.get("message", document)))
    assert isinstance(document, dict)
    return document


def wait_for(what: str, condition: Callable[[], bool], deadline_s: float, pause_s: float = 0.05) -> None:
    """Poll until it holds; LabError names `what` when it did not in time. Refusals count as "not yet"."""
    deadline, last = time.monotonic() + deadline_s, ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except KubeError as error:
            last = f" ({error})"
        time.sleep(pause_s)
    raise LabError(f"{what} did not happen within {deadline_s:g} s{last}")


def documents(text: str) -> Iterator[Manifest]:
    """The objects of a multi-document YAML, Lists unrolled."""
    for document in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if document and document.get("kind", "").endswith("List"):
            yield from document["items"]
        elif document:
            yield document
