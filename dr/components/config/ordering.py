"""In which order objects come back: what others need first, what acts on others last. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RBAC = "rbac.authorization.k8s.io"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "namespaces": ("namespaces",),
    "access": ("serviceaccounts", f"clusterroles.{_RBAC}", f"roles.{_RBAC}", f"clusterrolebindings.{_RBAC}",
               f"rolebindings.{_RBAC}"),
    "settings": ("resourcequotas", "limitranges", "configmaps", "secrets"),
    "network": ("networkpolicies.networking.k8s.io", "services", "ingresses.networking.k8s.io"),
    "workloads": ("deployments.apps", "statefulsets.apps", "daemonsets.apps", "cronjobs.batch"),
    "scaling": ("poddisruptionbudgets.policy", "horizontalpodautoscalers.autoscaling"),
    "custom": (),
    "delivery": (),
}  # fmt: skip
"""Name of the step -> kinds, in order. `custom`: everything that is not named; `delivery`: Flux, which changes the rest."""

_FLUX = ".toolkit.fluxcd.io"
_SOURCES = "source.toolkit.fluxcd.io"


def group_of(kind: str) -> str:
    """The step that brings a kind back."""
    if kind.endswith(_FLUX):
        return "delivery"
    return next((name for name, kinds in GROUPS.items() if kind in kinds), "custom")


def rank(kind: str) -> tuple[int, int, str]:
    """Sorts kinds into the order of their coming back. Within Flux what is fetched comes before what is applied."""
    group = group_of(kind)
    kinds = GROUPS[group]
    inner = kinds.index(kind) if kind in kinds else int(not kind.endswith(_SOURCES))
    return list(GROUPS).index(group), inner, kind


def batches(kinds: Sequence[str]) -> tuple[str, ...]:
    """Kinds of one step, in order, each once."""
    return tuple(sorted(set(kinds), key=rank))


def is_known(kind: str) -> bool:
    """One of Kubernetes' own or of Flux, whose behaviour in a contained copy is known."""
    return group_of(kind) != "custom"
