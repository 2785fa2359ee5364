"""The Velero Restore: what it brings back under which names, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.components.cluster import following, inert
from dr.components.cluster.access import Velero
from dr.components.cluster.containing import ensure
from dr.components.cluster.holding import excluded_kinds, modifiers
from dr.components.cluster.layout import RESTORES
from dr.components.cluster.names import Names
from dr.errors import RESTORE_FAILED
from dr.ports import Json, StepContext
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    CUSTOM_RESOURCES,
    INGRESS_CLASSES,
    PRIORITY_CLASSES,
    STORAGE_CLASSES,
    KubeObject,
    Resource,
    mapping,
    name_of,
    number,
    sequence,
    text,
    uid_of,
)

CLUSTER_SCOPED: Sequence[Resource] = (CUSTOM_RESOURCES, STORAGE_CLASSES, PRIORITY_CLASSES, INGRESS_CLASSES)
"""What an isolated restore may have to create outside of its namespaces, where the cluster lacks it."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """One Restore object and its rules. `native`: volumes come back from native snapshots. `over`: living objects are
    updated, because a person named the target."""

    velero: Velero
    names: Names
    native: bool
    over: bool
    deadline: timedelta

    def request(self, context: StepContext) -> Json:
        kube, namespace, names = self.velero.kube, self.velero.namespace, self.names
        replaced = inert.rules(sequence(context.outcome("stage"), "replaced"), names)
        rules = {
            "data": {"modifiers.yaml": modifiers(names.isolated, self.native, replaced)},
            "metadata": self._metadata(names.name, context),
        }
        ensure(kube, CONFIG_MAPS, rules, names.labels, namespace)
        backup = text(context.outcome("import-backup"), "backup")
        body = {"metadata": self._metadata(names.restore(context.attempt), context), "spec": self._spec(backup)}
        found = ensure(kube, RESTORES, body, names.labels, namespace)
        return {"restore": name_of(found), "uid": uid_of(found)}

    def _metadata(self, name: str, context: StepContext) -> Json:
        labels = dict(self.names.marks(context.clock.now()))
        return {"name": name, "namespace": self.velero.namespace, "labels": labels}

    def _spec(self, backup: str) -> Json:
        names = self.names
        changed = {source: target for source, target in names.namespaces.items() if source != target}
        return {
            "backupName": backup,
            "includedNamespaces": list(names.namespaces),
            "namespaceMapping": changed,
            # of a part: only what its own objects need (volumes of its claims)
            **({} if names.partial else {"includeClusterResources": True}),
            "excludedResources": list(excluded_kinds(names.isolated, self.native)),
            "resourceModifier": {"kind": "ConfigMap", "name": names.name},
            "existingResourcePolicy": "update" if self.over else "none",
        }

    def prove_inert(self, context: StepContext) -> Json:
        """No external credential is in the copy. Raises DrError RESTORE_FAILED."""
        return inert.prove(self.velero.kube, self.names, sequence(context.outcome("stage"), "replaced"))

    def follow(self, context: StepContext) -> Json:
        asked = context.outcome("restore")
        name, velero = text(asked, "restore"), self.velero
        ended = following.follow(
            velero.kube, RESTORES, velero.namespace, name, text(asked, "uid"), self.deadline, context, RESTORE_FAILED
        )
        said = "" if following.phase_of(ended) == "Completed" else self._said(name, "errors")
        following.must_be_completed(ended, RESTORE_FAILED, "Velero restore", said)
        warnings = number(ended, "status", "warnings")
        return {
            "items": number(ended, "status", "progress", "itemsRestored"),
            "warnings": warnings,
            "warned": self._said(name, "warnings") if warnings else "",
            "cluster": self._made_outside(name) if self.names.isolated else [],
        }

    def _said(self, name: str, level: str) -> str:
        bucket, _ = self.velero.bucket()
        return following.summarised(bucket, f"{self.names.folder}restores/{name}/restore-{name}-results.gz", level)

    def _made_outside(self, name: str) -> list[Json]:
        """Cluster-scoped objects that this Restore created: Velero labels only what it creates."""
        kube = self.velero.kube
        return [
            {
                "group": kind.group,
                "version": kind.version,
                "plural": kind.plural,
                "name": name_of(found),
                "uid": uid_of(found),
            }
            for kind in CLUSTER_SCOPED
            for found in kube.list(kind, labels=f"velero.io/restore-name={name}", metadata_only=True).items
        ]


def resource_of(entry: object) -> Resource:
    """From what `follow` journals of a cluster-scoped object."""
    return Resource(text(entry, "group"), text(entry, "version"), text(entry, "plural"), namespaced=False)


def warned(outcome: KubeObject) -> str:
    """How many warnings a Restore ended with, and the first of them."""
    count = number(outcome, "warnings")
    return f"{count} warnings: {mapping(outcome).get('warned')}" if count else "no warnings"
