"""External credentials in a contained copy: replaced by values that open nothing, and recorded by name only. Pure, but for
the look at what came back.

Which they are: a Secret that carries `dr/external-credential: "true"` as label or annotation, or whose `namespace/name` the
strategy lists (`replaceSecrets`, shell patterns).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from dr.components.cluster.access import KubeApi
from dr.components.cluster.names import Names
from dr.errors import RESTORE_FAILED, DrError
from dr.ports import Json
from dr.vendors.kubernetes_objects import (
    SECRETS,
    KubeObject,
    annotations_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    sequence,
    text,
)

MARK = "dr/external-credential"
WORKLOAD_IDENTITY = "iam.gke.io/gcp-service-account"
"""On a ServiceAccount: the Google identity that it asks for."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_DOCKER = {".dockerconfigjson": '{"auths":{}}', ".dockercfg": "{}"}
"""The API server wants JSON in these."""
_INERT = "replaced-by-dr-for-a-drill"


def is_external(secret: KubeObject, patterns: Sequence[str]) -> bool:
    """By its mark, or by the strategy's list."""
    marked = (labels_of(secret).get(MARK), annotations_of(secret).get(MARK))
    name = f"{namespace_of(secret)}/{name_of(secret)}"
    return "true" in marked or any(fnmatchcase(name, pattern) for pattern in patterns)


def inert(keys: Iterable[str]) -> Mapping[str, str]:
    """`data` of the replaced Secret: the same keys, in base64."""
    return {key: base64.b64encode(_DOCKER.get(key, _INERT).encode()).decode() for key in keys}


def chosen(secrets: Iterable[KubeObject], patterns: Sequence[str]) -> list[Json]:
    """What is journalled of those that will be replaced: names and keys, never a value."""
    return [
        {"namespace": namespace_of(one), "name": name_of(one), "keys": sorted(mapping(one, "data"))}
        for one in secrets
        if is_external(one, patterns)
    ]


def rules(replaced: Sequence[object], names: Names) -> list[Mapping[str, object]]:
    """Velero's resource modifiers: the value never reaches the copy. An annotation of kubectl may hold it a second time."""
    return [_rule(one, names) for one in replaced]


def _rule(one: object, names: Names) -> Mapping[str, object]:
    space = text(one, "namespace")
    patch = {"data": inert(_keys(one)), "metadata": {"annotations": {_LAST_APPLIED: None}}}
    conditions = {
        "groupResource": "secrets",
        "resourceNameRegex": f"^{re.escape(text(one, 'name'))}$",
        "namespaces": [space, names.namespaces.get(space, space)],
    }
    return {"conditions": conditions, "mergePatches": [{"patchData": json.dumps(patch)}]}


def _keys(one: object) -> list[str]:
    return [str(key) for key in sequence(one, "keys")]


def replaced_names(replaced: Sequence[object]) -> list[str]:
    return sorted(f"{text(one, 'namespace')}/{text(one, 'name')}" for one in replaced)


def still_real(kube: KubeApi, names: Names, replaced: Sequence[object]) -> list[str]:
    """Those of the replaced Secrets that hold something else in the copy, by their source-side names."""
    return [name for one in replaced if (name := _still_real(kube, names, one))]


def _still_real(kube: KubeApi, names: Names, one: object) -> str:
    space, name = text(one, "namespace"), text(one, "name")
    found = kube.get(SECRETS, name, names.namespaces.get(space, space))
    if found is None:
        return ""
    same = mapping(found, "data") == inert(_keys(one)) and _LAST_APPLIED not in annotations_of(found)
    return "" if same else f"{space}/{name}"


def prove(kube: KubeApi, names: Names, replaced: Sequence[object]) -> Json:
    """Before anything of the copy runs. Raises DrError RESTORE_FAILED naming each credential that came through."""
    real = still_real(kube, names, replaced)
    if real:
        raise DrError(RESTORE_FAILED, f"external credentials came into the contained copy: {', '.join(real)}")
    return {"replaced": replaced_names(replaced)}
