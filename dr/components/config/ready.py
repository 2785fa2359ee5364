"""What a restore of configuration asks of the cluster that it goes to, looked at as whoever restores (`Kit.ready`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from dr.components.config.access import ConfigApi, ConfigOptions
from dr.errors import DrError
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.plan.permissions import applied_rules, rights_of
from dr.vendors.kubernetes_objects import Resource

_ASKERS = 8


def check_ready(spec: SourceSpec, api: ConfigApi) -> tuple[Check, ...]:
    """Keys that open Secrets are looked at where all keys are."""
    try:
        return tuple(_looked(spec, api))
    except DrError as error:
        return (Check(f"cluster for {spec.id}", False, error.message),)


def _looked(spec: SourceSpec, api: ConfigApi) -> Iterator[Check]:
    served = api.served()
    absent = [kind for kind in ConfigOptions.read(spec).wanted if kind not in served]
    # a new cluster has no custom resources yet: the restore of the cluster brings their definitions first
    words = f"not served yet: {', '.join(absent)}" if absent else "all are served"
    yield Check(f"kinds of {spec.id}", True, words)
    yield _rights(spec, api, served)


def _rights(spec: SourceSpec, api: ConfigApi, served: Mapping[str, Resource]) -> Check:
    asked = [right for right in rights_of(applied_rules(spec)) if right.resource in served]
    with ThreadPoolExecutor(_ASKERS, thread_name_prefix="config-ready") as pool:
        held = pool.map(lambda right: api.allowed(right.verb, served[right.resource]), asked)
        missing = [str(right) for right, allowed in zip(asked, held, strict=True) if not allowed]
    words = f"not allowed: {', '.join(missing)}" if missing else f"{len(asked)} permissions held"
    return Check(f"rbac of restore for {spec.id}", not missing, words)
