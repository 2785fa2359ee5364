"""A thin JSON client of the Kubernetes API: the lab speaks to it in raw manifests, which need no models and load fast."""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object as its JSON. This module is the adapter: nothing else names `Any` for it."""

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
WATCH_SECONDS = 240


class ApiError(Exception):
    """The server's answer when it is not a success; `status` is the HTTP code, `reason` Kubernetes' own word."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason = status, reason


class Unreachable(Exception):
    """No answer: the server is down, restarting, or the connection broke."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a kubeconfig's current context says."""

    server: str
    tls: ssl.SSLContext
    token: str

    @property
    def host(self) -> str:
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.server).port or 443


def load_kubeconfig(path: Path) -> Access:
    """The current context of a kubeconfig file. Raises OSError, KeyError (a part is missing)."""
    document: Manifest = yaml.safe_load(path.read_text())
    context = _named(document, "contexts", document["current-context"])["context"]
    cluster = _named(document, "clusters", context["cluster"])["cluster"]
    user = _named(document, "users", context["user"])["user"]
    return Access(cluster["server"], _tls(cluster, user, path.parent), str(user.get("token", "")))


def _named(document: Manifest, section: str, name: str) -> Manifest:
    for entry in document[section]:
        if entry["name"] == name:
            found: Manifest = entry
            return found
    raise KeyError(f"{section}/{name}")


def _tls(cluster: Manifest, user: Manifest, base: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif authority := _material(cluster, "certificate-authority", base):
        context = ssl.create_default_context(cadata=authority)
    certificate, key = _material(user, "client-certificate", base), _material(user, "client-key", base)
    if certificate:
        _load_pair(context, certificate + key)
    return context


def _material(section: Manifest, name: str, base: Path) -> str:
    if inline := section.get(f"{name}-data"):
        return base64.b64decode(inline).decode()
    return (base / section[name]).read_text() if section.get(name) else ""


def _load_pair(context: ssl.SSLContext, pem: str) -> None:
    # ssl reads client certificates from files only; mkstemp makes this one readable by us alone.
    handle, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        os.unlink(name)


class Api:
    """Requests to one API server. Safe to share between threads.

    Every call raises ApiError for an answer that is not 2xx and Unreachable when there is none.
    """

    def __init__(self, access: Access, *, connections: int = 16) -> None:
        self.access = access
        self._headers = {"Accept": "application/json", "User-Agent": "energent-lab"}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._pool = urllib3.PoolManager(maxsize=connections, ssl_context=access.tls, retries=False)

    @classmethod
    def open(cls, kubeconfig: Path, *, connections: int = 16) -> Api:
        return cls(load_kubeconfig(kubeconfig), connections=connections)

    def get(self, path: str, **query: str) -> Manifest:
        return self.request("GET", path, query=query)

    def create(self, path: str, body: Manifest) -> Manifest:
        return self.request("POST", path, body)

    def replace(self, path: str, body: Manifest) -> Manifest:
        return self.request("PUT", path, body)

    def patch(self, path: str, body: Manifest, kind: str = MERGE) -> Manifest:
        return self.request("PATCH", path, body, content_type=kind)

    def apply(self, path: str, body: Manifest) -> Manifest:
        """Server-side apply as manager `energent`: creates or converges, so that a second fill changes nothing."""
        query = {"fieldManager": "energent", "force": "true"}
        return self.request("PATCH", path, body, query=query, content_type=APPLY)

    def delete(self, path: str, body: Manifest | None = None) -> Manifest:
        return self.request("DELETE", path, body)

    def find(self, path: str, **query: str) -> Manifest | None:
        """The object, or None when there is none."""
        try:
            return self.get(path, **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        headers = self._headers | ({"Content-Type": content_type} if body is not None else {})
        payload = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(method, self._url(path, query), body=payload, headers=headers, timeout=30)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        return _decode(answer.status, answer.data)

    def watch(self, path: str, version: str, **query: str) -> Iterator[tuple[str, Manifest]]:
        """(type, object) until the server ends the stream. An expired version raises ApiError 410."""
        query |= {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"allowWatchBookmarks": "true"}
        timeout = urllib3.Timeout(connect=10, read=WATCH_SECONDS + 30)
        url, headers = self._url(path, query), self._headers
        try:
            answer = self._pool.request("GET", url, headers=headers, timeout=timeout, preload_content=False)
            if answer.status != 200:
                _decode(answer.status, answer.read())
            yield from _events(answer)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"watch {path}: {error}") from error

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return self.access.server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")


def _events(answer: urllib3.BaseHTTPResponse) -> Iterator[tuple[str, Manifest]]:
    pending = b""
    for chunk in answer.stream(65536):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in filter(None, lines):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(status.get("code", 500), status.get("reason", ""), status.get("message", ""))
            yield event["type"], event["object"]


def _decode(status: int, data: bytes) -> Manifest:
    try:
        answer: Manifest = json.loads(data) if data else {}
    except ValueError:
        answer = {"message": data[:200].decode(errors="replace")}
    if status >= 300:
        raise ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    return answer


def pods(namespace: str, name: str = "", part: str = "") -> str:
    """`/api/v1/namespaces/NS/pods[/NAME[/PART]]`."""
    return "/".join(filter(None, (f"/api/v1/namespaces/{namespace}/pods", name, part)))
