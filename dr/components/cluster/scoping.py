"""A part of a cluster only: one tenant's namespaces, or one namespace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dr.components.cluster.access import KubeApi
from dr.errors import CONFIGURATION, NOT_FOUND, DrError
from dr.model.plans import Target
from dr.vendors.kubernetes_objects import NAMESPACES, KubeObject, labels_of, name_of

TENANT, NAMESPACE = "tenant:", "namespace:"
TENANT_LABEL = "tenantLabel"
"""Option of a source: the label of a namespace whose value is the tenant's id."""


def tenant_of(scope: Sequence[str]) -> str:
    """The tenant that a restore is limited to; empty: it is not limited to one."""
    return next((one.removeprefix(TENANT) for one in scope if one.startswith(TENANT)), "")


def tenants_by_label(namespaces: Iterable[KubeObject], label: str) -> Mapping[str, str]:
    """Namespace -> tenant, of those that carry the label."""
    return {name_of(one): labels_of(one)[label] for one in namespaces if label and label in labels_of(one)}


def living_tenants(kube: KubeApi, label: str, chosen: Collection[str]) -> Mapping[str, str]:
    """Whose each of the namespaces is, now, where the strategy names the label that tells it."""
    found = kube.list(NAMESPACES, metadata_only=True).items if label else []
    return tenants_by_label((one for one in found if name_of(one) in chosen), label)


def in_scope(target: Target, captured: Sequence[str], tenants: Mapping[str, str], label: str) -> tuple[str, ...]:
    """Of what was captured, the namespaces that are meant: all, unless a person named a part.

    Raises DrError NOT_FOUND for a namespace or tenant that was not there, CONFIGURATION without a label for tenants.
    """
    if not target.scope:
        return tuple(captured)
    tenant, wanted = tenant_of(target.scope), [_named(one) for one in target.scope if one.startswith(NAMESPACE)]
    if missing := sorted(set(wanted) - set(captured)):
        raise DrError(NOT_FOUND, f"namespace {', '.join(missing)} is not in what is restored from")
    if tenant:
        if not label:
            raise DrError(CONFIGURATION, f"no label tells the namespaces of a tenant: declare options.{TENANT_LABEL}")
        wanted += [name for name in captured if tenants.get(name) == tenant]
    if not wanted:
        raise DrError(NOT_FOUND, f"no namespace of tenant {tenant} is in what is restored from")
    return tuple(name for name in captured if name in wanted)


def _named(one: str) -> str:
    return one.removeprefix(NAMESPACE)
