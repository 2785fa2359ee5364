"""The items inside Velero's contents archive: every one parsed, every path held against what it carries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dr.components.cluster.tarball import Member, gunzip, untar
from dr.errors import DAMAGED, DrError
from dr.vendors.kubernetes_objects import KubeObject, Resource, name_of, namespace_of, text

_PREFERRED = "-preferredversion"


class Item(NamedTuple):
    """One backed-up object. `resource` as Velero writes it: `deployments.apps`; no namespace: cluster-scoped."""

    resource: str
    namespace: str
    name: str
    modified: int
    """When Velero wrote it into the archive, whole seconds since the epoch."""
    body: KubeObject

    @property
    def kind(self) -> str:
        """`apps/v1/Deployment`: the key of Velero's resource list."""
        return f"{text(self.body, 'apiVersion')}/{text(self.body, 'kind')}"

    @property
    def entry(self) -> str:
        """The entry under that key."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def api(self) -> Resource:
        """Where the API serves it."""
        plural, _, group = self.resource.partition(".")
        return Resource(group, text(self.body, "apiVersion").rpartition("/")[2], plural, bool(self.namespace))

    def __str__(self) -> str:
        return f"{self.resource} {self.entry}"


def read_items(chunks: Iterable[bytes]) -> Iterator[Item]:
    """Items of `<backup>.tar.gz`, each once, in bounded memory. Raises DrError DAMAGED naming the member.

    Velero writes each object twice, the second time under its preferred version; both copies are read, one is yielded.
    """
    last = b""
    version_seen = False
    for member in untar(gunzip(chunks)):
        if member.path == "metadata/version":
            version_seen = True
            continue
        resource, version, namespace, name = _place(member.path)
        if version and member.data == last:
            continue
        last = member.data
        item = Item(resource, namespace, name, member.modified, _parsed(member))
        _agrees(item, member)
        if not version:
            yield item
    if not version_seen:
        raise DrError(DAMAGED, "contents: metadata/version is missing, so this is no Velero backup")


def _place(path: str) -> tuple[str, str, str, str]:
    """(resource, version folder or "", namespace or "", name) of `resources/...` paths."""
    parts = path.split("/")
    version = parts.pop(2) if len(parts) > 4 and parts[2] not in ("namespaces", "cluster") else ""
    if len(parts) == 5 and parts[0] == "resources" and parts[2] == "namespaces":
        return parts[1], version, parts[3], _stem(parts[4], path)
    if len(parts) == 4 and parts[0] == "resources" and parts[2] == "cluster":
        return parts[1], version, "", _stem(parts[3], path)
    raise DrError(DAMAGED, f"contents: {path!r} is no place of a Velero backup")


def _stem(file: str, path: str) -> str:
    if not file.endswith(".json") or file == ".json":
        raise DrError(DAMAGED, f"contents: {path!r} is no place of a Velero backup")
    return file.removesuffix(".json")


def _parsed(member: Member) -> KubeObject:
    try:
        body = json.loads(member.data)
    except ValueError as error:
        raise DrError(DAMAGED, f"contents: {member.path} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise DrError(DAMAGED, f"contents: {member.path} is no object")
    return body


def _agrees(item: Item, member: Member) -> None:
    """The object is the one that its path names."""
    if (name_of(item.body), namespace_of(item.body)) != (item.name, item.namespace) or not text(item.body, "kind"):
        found = f"{text(item.body, 'kind')} {namespace_of(item.body)}/{name_of(item.body)}"
        raise DrError(DAMAGED, f"contents: {member.path} holds {found}")
