"""A thin client of the Kubernetes API: raw JSON in and out, errors of the catalogue, watches that survive.

The `kubernetes` package reads the configuration and keeps the credentials fresh (exec plugins, tokens, client
certificates); its generated models are never used, because deserialising them costs far more than the calls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr.errors import NOT_FOUND, UNAVAILABLE, DrError
from dr.vendors.kubernetes_discovery import served
from dr.vendors.kubernetes_objects import ACCESS_REVIEWS, KubeObject, Resource, mapping, name_of, text
from dr.vendors.kubernetes_transport import APPLY, JSON, MERGE, Gone, Transport, broken
from dr.vendors.kubernetes_watching import Changes
from dr.vendors.retry import with_retry

MANAGER = "dr"
"""The name under which the API server notes our writes (`metadata.managedFields`)."""
_PAGE = 2000
"""Objects a page of a list: large enough that 5,000 take three calls, small enough to stay within a token's life."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a list, at one resource version."""

    items: Sequence[KubeObject]
    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """One change seen by a watch: `ADDED`, `MODIFIED`, `DELETED`; what a relist finds arrives as `ADDED`."""

    type: str
    object: KubeObject


class Kubernetes:
    """One cluster, by a kubeconfig and context, else by the Pod's own account, else by the default kubeconfig.

    Nothing is loaded or contacted before the first call. Safe to use from several threads. Errors: DrError of kind
    CONFIGURATION, UNREACHABLE, UNAVAILABLE (temporary; reads were retried), NOT_AUTHORISED (names verb and resource),
    NOT_FOUND, CONFLICT, REJECTED.
    """

    def __init__(self, kubeconfig: Path | None = None, context: str = "", timeout_s: float = 30.0) -> None:
        self._transport = Transport(kubeconfig, context, timeout_s)

    # --- reads

    def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject | None:
        """One object; None when it does not exist."""
        try:
            return self._read("get", resource, namespace, name)
        except DrError as error:
            if error.kind is NOT_FOUND:
                return None
            raise

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """Every object, in pages; begins anew when a page's token expired. All namespaces when `namespace` is empty.

        `metadata_only`: names, labels and uids without contents, which is an order of magnitude less to read.
        """
        for _ in range(3):
            try:
                return self._pages(resource, namespace, _selectors(labels, fields), metadata_only)
            except Gone:
                continue
        raise DrError(UNAVAILABLE, f"the list of {resource} expired three times while it was read")

    def _pages(self, resource: Resource, namespace: str, query: Mapping[str, str], metadata_only: bool) -> Listing:
        items: list[KubeObject] = []
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" if metadata_only else JSON
        token = ""
        while True:
            more = {"continue": token} if token else {}
            page = self._read("list", resource, namespace, query={**query, **more, "limit": str(_PAGE)}, accept=accept)
            items += _items(page)
            token = text(page, "metadata", "continue")
            if not token:
                return Listing(items, text(page, "metadata", "resourceVersion"))

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        deadline_s: float,
        idle_s: float = 10.0,
    ) -> Iterator[Event | None]:
        """What exists now, then every change, until `deadline_s` passed; None at least every `idle_s` seconds.

        A broken or expired watch is begun anew with a list, so that no state is missed; a deletion in the gap is not
        reported as an event, so a caller that waits for an end must look at what is there when it gets None.
        """
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            listing = with_retry(
                lambda: self.list(resource, namespace, labels=labels, fields=fields), what=f"list {resource}"
            )
            for item in listing.items:
                yield Event("ADDED", item)
            yield None
            yield from self._stream(resource, namespace, _selectors(labels, fields), listing.version, end, idle_s)

    def _stream(
        self, resource: Resource, namespace: str, query: Mapping[str, str], version: str, end: float, idle_s: float
    ) -> Iterator[Event | None]:
        """Events of consecutive watch calls from `version` on; returns when a list is needed or the time is over."""
        while (left := end - time.monotonic()) > 0:
            seconds = max(1, int(min(idle_s, left)))
            try:
                for event in self._watch_once(resource, namespace, query, version, seconds):
                    version = text(event.object, "metadata", "resourceVersion") or version
                    if event.type != "BOOKMARK":
                        yield event
            except Gone:
                return
            except DrError as error:
                if not error.temporary:
                    raise
                return  # the API server restarts: the list waits for it
            yield None

    def _watch_once(
        self, resource: Resource, namespace: str, query: Mapping[str, str], version: str, seconds: int
    ) -> Iterator[Event]:
        asked = {**query, "watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        asked["allowWatchBookmarks"] = "true"
        path = resource.path(namespace)
        response = self._transport.send(
            "GET", path, "watch", resource, query=asked, stream=True, timeout_s=seconds + 15
        )
        try:
            for line in _lines(response):
                yield _event(json.loads(line))
        except broken() as error:
            raise Gone from error  # a cut connection: what was missed shows in the next list
        finally:
            response.release_conn()

    def changes(self, resource: Resource, version: str, seconds: int) -> Changes:
        """Every change of all namespaces after `version`, bookmarks too; the server ends the call after `seconds`."""
        asked = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        asked["allowWatchBookmarks"] = "true"
        path, limit = resource.path(), seconds + 15
        response = self._transport.send("GET", path, "watch", resource, query=asked, stream=True, timeout_s=limit)
        return Changes(response, lambda stream: (_event(json.loads(line)) for line in _lines(stream)))

    def version_now(self, resource: Resource) -> str:
        """The resource version of a consistent read: every change made before the call is at or below it."""
        return text(self._read("list", resource, "", query={"limit": "1"}), "metadata", "resourceVersion")

    def served(self) -> Mapping[str, Resource]:
        """All kinds of the API: `deployments.apps` -> where its preferred version lives."""
        return served(
            lambda path, accept: with_retry(
                lambda: self._call("GET", path, "get", None, accept=accept), what=f"get {path}"
            )
        )

    # --- writes

    def create(self, resource: Resource, body: KubeObject, namespace: str = "") -> KubeObject:
        """Create; CONFLICT when the name is taken, by whomever."""
        path = resource.path(namespace)
        query = {"fieldManager": MANAGER}
        return self._call("POST", path, "create", resource, body=body, query=query, name=name_of(body))

    def patch(self, resource: Resource, name: str, body: KubeObject, namespace: str = "") -> KubeObject:
        """JSON merge patch (RFC 7386)."""
        path = resource.path(namespace, name)
        query = {"fieldManager": MANAGER}
        return self._call("PATCH", path, "patch", resource, body=body, content=MERGE, query=query, name=name)

    def apply(
        self,
        resource: Resource,
        body: KubeObject,
        namespace: str = "",
        manager: str = MANAGER,
        *,
        dry_run: bool = False,
    ) -> KubeObject:
        """Server-side apply: creates, or makes exactly the fields of `body` so; repeatable. `dry_run`: all but storing it."""
        name = name_of(body)
        path = resource.path(namespace, name)
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        return self._call("PATCH", path, "patch", resource, body=body, content=APPLY, query=query, name=name)

    def delete(self, resource: Resource, name: str, namespace: str = "", *, uid: str = "") -> bool:
        """Ask for deletion (background); with `uid` only if it is that very object. False when it is gone already.

        A name now held by another object is CONFLICT.
        """
        body: dict[str, object] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._call("DELETE", resource.path(namespace, name), "delete", resource, body=body, name=name)
        except DrError as error:
            if error.kind is NOT_FOUND:
                return False
            raise
        return True

    # --- questions

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool:
        """Whether the caller may do it (SelfSubjectAccessReview)."""
        plural, _, part = resource.plural.partition("/")
        asked = {"verb": verb, "group": resource.group, "resource": plural, "subresource": part, "namespace": namespace}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = self.create(ACCESS_REVIEWS, {**body, "spec": {"resourceAttributes": asked}})
        return mapping(answer, "status").get("allowed") is True

    @property
    def host(self) -> str:
        """The API server's URL. Raises DrError CONFIGURATION."""
        return self._transport.host

    def version(self) -> str:
        """`v1.35.0`."""
        return text(self._call("GET", "/version", "get", None), "gitVersion")

    # --- transport

    def _read(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
    ) -> KubeObject:
        path = resource.path(namespace, name)
        return with_retry(
            lambda: self._call("GET", path, verb, resource, query=query, accept=accept, name=name),
            what=f"{verb} {resource}",
        )

    def _call(
        self,
        method: str,
        path: str,
        verb: str,
        resource: Resource | None,
        *,
        body: KubeObject | None = None,
        content: str = JSON,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        name: str = "",
    ) -> KubeObject:
        response = self._transport.send(
            method, path, verb, resource, body=body, content=content, query=query, accept=accept, name=name
        )
        decoded: KubeObject = json.loads(response.data)
        return decoded


def _lines(response: Any) -> Iterator[bytes]:
    """Lines of a streamed answer; an unfinished last line is dropped (the connection broke inside it)."""
    rest = b""
    read: Callable[..., Iterator[bytes]] = response.stream
    for chunk in read(65536, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _event(raw: KubeObject) -> Event:
    """Raises Gone on an expired version."""
    kind, found = text(raw, "type"), mapping(raw, "object")
    if kind == "ERROR":
        raise Gone(text(found, "message"))
    return Event(kind, found)


def _items(page: KubeObject) -> list[KubeObject]:
    found = page.get("items")
    return found if isinstance(found, list) else []


def _selectors(labels: str, fields: str) -> dict[str, str]:
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in chosen.items() if value}
