"""What a restore of the cluster would do, said before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dr.components.cluster.access import ClusterOptions, KubeApi
from dr.components.cluster.erased import erased_among
from dr.components.cluster.holding import excluded_kinds
from dr.components.cluster.layout import METHOD
from dr.components.cluster.names import mapped
from dr.components.cluster.scoping import TENANT_LABEL, in_scope
from dr.errors import NOT_FOUND, TARGET_EXISTS, TARGET_PROTECTED, DrError
from dr.model.erasure import Erasure
from dr.model.plans import PlannedRestore, Target
from dr.model.points import PointManifest
from dr.model.strategy import FailureDomain, SourceSpec
from dr.vendors.kubernetes_objects import NAMESPACES, mapping, name_of, sequence, text


def outline(
    kube: KubeApi,
    spec: SourceSpec,
    manifest: PointManifest,
    domain: FailureDomain,
    target: Target,
    database: str = "",
    ledger: Sequence[Erasure] = (),
) -> PlannedRestore:
    """Reads the target's namespaces only. `database`: where restored databases are served, `127.0.0.1/32:8443`.
    Raises DrError TARGET_EXISTS, TARGET_PROTECTED."""
    options = ClusterOptions.read(spec)
    captured = [str(name) for name in sequence(manifest.details, "namespaces")]
    if not captured:
        raise DrError(NOT_FOUND, f"{manifest.name} names no namespaces")
    tenants = tenants_of(manifest)
    erased = erased_among(captured, tenants, ledger)
    left = [name for name in captured if name not in erased]
    namespaces = mapped(target, in_scope(target, left, tenants, text(spec.options, TENANT_LABEL)))
    living = living_namespaces(kube, namespaces)
    refuse_living(target, spec.id.name, living)
    refuse_mapped_onto(target, namespaces, living)
    native = has_native(manifest.details)
    excluded = excluded_kinds(target.isolated, native)
    return PlannedRestore(
        source=spec.id,
        domain=domain,
        method=METHOD,
        point=None,
        instant=manifest.as_of,
        target=target,
        size=manifest.size,
        predicted=None,
        cost_usd=0.0,
        creates=_creates(manifest, namespaces),
        reasons=tuple(_reasons(manifest, target, living, excluded)),
        details={
            "namespaces": dict(namespaces),
            "cutover": dict(mapping(spec.options, "cutover")),
            "allowEgress": [*options.allow_egress, *([database] if database and options.cutover else [])],
            "replaceSecrets": list(options.replace_secrets),
            "erased": list(erased),
            "probe": dict(mapping(spec.options, "probe")),
            "deadline_s": options.deadline.total_seconds(),
        },
    )


def tenants_of(manifest: PointManifest) -> Mapping[str, str]:
    """As their labels were when the point was made."""
    return {name: str(tenant) for name, tenant in mapping(manifest.details, "tenants").items()}


def has_native(details: Mapping[str, object]) -> bool:
    """Whether a volume of the point was captured as a snapshot of the provider's own API."""
    return any(text(volume, "method") == "NativeSnapshot" for volume in sequence(details, "volumes"))


def living_namespaces(kube: KubeApi, namespaces: Mapping[str, str]) -> tuple[str, ...]:
    """Target namespaces that exist."""
    found = {name_of(item) for item in kube.list(NAMESPACES, metadata_only=True).items}
    return tuple(sorted(found & set(namespaces.values())))


def refuse_living(target: Target, source: str, living: tuple[str, ...]) -> None:
    """What a person must type is the name of the protected cluster: it is all its namespaces that would be written over."""
    if not living:
        return
    named = ", ".join(living)
    if target.isolated:
        raise DrError(TARGET_EXISTS, f"namespace {named} exists already; an isolated restore writes into new ones only")
    if target.protected != source:
        hint = f"type the name of the protected cluster to restore over all of them: --over {source}"
        raise DrError(
            TARGET_PROTECTED, f"namespace {named} is alive, and nobody named it to be restored over", hint=hint
        )


def refuse_mapped_onto(target: Target, namespaces: Mapping[str, str], living: tuple[str, ...]) -> None:
    """A namespace under another name is a new one. Raises DrError TARGET_EXISTS."""
    onto = sorted(there for name, there in namespaces.items() if there != name and there in living)
    if onto and not target.isolated:
        raise DrError(TARGET_EXISTS, f"namespace {', '.join(onto)} exists already; map to a name that is free")


def _creates(manifest: PointManifest, namespaces: Mapping[str, str]) -> tuple[str, ...]:
    spaces = tuple(f"namespace {name}" for name in namespaces.values())
    kinds = mapping(manifest.details, "kinds")
    counted = (f"{count} x {kind}" for kind, count in sorted(kinds.items()) if kind != "v1/Namespace")
    return (*spaces, *counted)


def _reasons(
    manifest: PointManifest, target: Target, living: tuple[str, ...], excluded: Mapping[str, str]
) -> list[str]:
    reasons = [
        f"{manifest.counts.get('items', 0)} items from {manifest.name}, as of {manifest.as_of:%Y-%m-%d %H:%M:%S}Z"
    ]
    reasons += [f"{kind} stay out: {why}" for kind, why in sorted(excluded.items())]
    if target.isolated:
        reasons.append("contained: no traffic in or out, one replica of the declared workload, CronJobs suspended")
    reasons += [f"{name} exists: Velero updates what is there and creates what is missing" for name in living]
    skipped = [text(volume, "claim") for volume in sequence(manifest.details, "volumes") if text(volume, "reason")]
    return reasons + [f"volume {claim} comes back without data" for claim in skipped]
