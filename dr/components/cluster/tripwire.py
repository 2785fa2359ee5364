"""Proof that a contained restore reached nothing outside: looked at in the target and in production, before the teardown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.components.cluster.access import KubeApi
from dr.components.cluster.containing import POLICY, policy_spec
from dr.components.cluster.inert import replaced_names, still_real
from dr.components.cluster.names import Names
from dr.errors import NOT_FOUND, DrError
from dr.model.evidence import TRIPWIRE
from dr.model.listing import first
from dr.model.points import Check
from dr.ports import Json
from dr.vendors.kubernetes import MANAGER
from dr.vendors.kubernetes_objects import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    SECRETS,
    STATEFUL_SETS,
    KubeObject,
    Resource,
    instant,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

_NAMED = 10
_RESTORED_BY = "velero.io/restore-name"
_WRITTEN: Sequence[Resource] = (CONFIG_MAPS, SECRETS, DEPLOYMENTS, STATEFUL_SETS, CRON_JOBS, NETWORK_POLICIES)
"""What a restore of ours could write in production, when its names were mixed up."""


@dataclass(frozen=True, slots=True)
class Tripwire:
    """Of one restore. `replaced`: Secrets as journalled; `kinds`: what was brought back, as journalled."""

    kube: KubeApi
    names: Names
    allowed: Sequence[str]
    replaced: Sequence[object] = ()
    kinds: Sequence[object] = ()
    restore: str = ""
    """Of Velero, if there was one."""

    def checks(self, contained: Json | None) -> tuple[Check, ...]:
        """`contained`: the outcome of the step that made the namespaces; None: it was never made."""
        if not self.names.isolated or contained is None:
            return ()
        return (
            self._held(),
            self._credentials(),
            *([self._outside()] if self.restore else []),
            self._production(instant(contained, "since")),
        )

    def _held(self) -> Check:
        """Policies add up: any beside ours, and any other words in ours, would open a way."""
        wrong = [words for target in self.names.namespaces.values() for words in self._policies(target)]
        said = f"default-deny still holds in {len(self.names.namespaces)} namespaces"
        return _check(f"{TRIPWIRE}containment", wrong, said)

    def _policies(self, target: str) -> Iterator[str]:
        found = {name_of(one): one for one in self.kube.list(NETWORK_POLICIES, target).items}
        ours = found.pop(POLICY, None)
        if ours is None:
            yield f"{target} has no policy {POLICY} any more"
        elif not _same(mapping(ours, "spec"), policy_spec(self.allowed)):
            yield f"policy {POLICY} of {target} was changed"
        yield from (f"policy {name} was added to {target}" for name in sorted(found))

    def _credentials(self) -> Check:
        real = still_real(self.kube, self.names, self.replaced)
        names = ", ".join(replaced_names(self.replaced)[:_NAMED]) or "none is declared"
        return _check(f"{TRIPWIRE}external credentials", real, f"{len(self.replaced)} replaced: {names}")

    def _outside(self) -> Check:
        """Velero labels all that it creates or changes with the name of its Restore."""
        found = [
            f"{resource} {namespace_of(one)}/{name_of(one)}"
            for resource in map(_resource, self.kinds)
            for one in self._listed(resource, f"{_RESTORED_BY}={self.restore}")
            if namespace_of(one) and namespace_of(one) not in self.names.targets
        ]
        return _check(f"{TRIPWIRE}restored outside", found, f"of {len(self.kinds)} kinds everything is in the copy")

    def _production(self, since: datetime | None) -> Check:
        """Nothing in the source's namespaces carries our label or, since the restore began, our name as its writer."""
        sources = set(self.names.namespaces) - self.names.targets
        found = [
            f"{resource} {namespace_of(one)}/{name_of(one)}"
            for resource in _WRITTEN
            for one in self._listed(resource)
            if namespace_of(one) in sources and self._ours(one, since)
        ]
        return _check(f"{TRIPWIRE}production", found, f"nothing was written in {len(sources)} namespaces")

    def _ours(self, one: KubeObject, since: datetime | None) -> bool:
        if self.names.labels.items() <= labels_of(one).items():
            return True
        return any(_wrote(entry, since) for entry in sequence(one, "metadata", "managedFields"))

    def _listed(self, resource: Resource, labels: str = "") -> Sequence[KubeObject]:
        try:
            return self.kube.list(resource, labels=labels, metadata_only=True).items
        except DrError as error:
            if error.kind is NOT_FOUND:  # the cluster does not serve the kind
                return []
            raise


def _wrote(entry: object, since: datetime | None) -> bool:
    at = instant(entry, "time")
    return text(entry, "manager") == MANAGER and since is not None and at is not None and at >= since


def _same(found: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """The API server leaves empty lists out."""
    return {key: value for key, value in found.items() if value} == {
        key: value for key, value in wanted.items() if value
    }


def _resource(entry: object) -> Resource:
    return Resource(text(entry, "group"), text(entry, "version"), text(entry, "plural"))


def _check(name: str, wrong: Sequence[str], fine: str) -> Check:
    return Check(name, not wrong, first(wrong, _NAMED) if wrong else fine)
