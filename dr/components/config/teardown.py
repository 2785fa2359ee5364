"""The contained namespaces of one restore go again: by label, name and journalled uid; nothing else was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dr.components.cluster.names import Names
from dr.components.config.access import ConfigApi
from dr.errors import DrError
from dr.model.points import Check
from dr.ports import Clock, Json
from dr.vendors.kubernetes_objects import NAMESPACES, KubeObject, labels_of, name_of, sequence, text, uid_of

_GONE_S, _LOOK_S = 180.0, 0.2


def teardown(api: ConfigApi, names: Names, clock: Clock, outcomes: Mapping[str, Json]) -> tuple[Check, ...]:
    """A check for each, failed if it is left. A restore over its source leaves everything."""
    if not names.isolated:
        return ()
    journalled = {text(one, "name"): text(one, "uid") for one in sequence(outcomes.get("contain", {}), "namespaces")}
    asked = [(one, _refused(api, one)) for one in _ours(api, names, journalled)]
    return tuple(_settled(api, clock, one, why) for one, why in asked)


def _ours(api: ConfigApi, names: Names, journalled: Mapping[str, str]) -> Iterator[KubeObject]:
    for name in names.namespaces.values():
        found = api.get(NAMESPACES, name)
        if found is None or not names.labels.items() <= labels_of(found).items():
            continue
        if journalled.get(name, uid_of(found)) == uid_of(found):
            yield found


def _refused(api: ConfigApi, one: KubeObject) -> str:
    try:
        api.delete(NAMESPACES, name_of(one), uid=uid_of(one))
    except DrError as error:
        return error.message
    return ""


def _settled(api: ConfigApi, clock: Clock, one: KubeObject, why: str) -> Check:
    title = f"namespace {name_of(one)}"
    if why:
        return Check(title, False, why)
    end = clock.stamp().monotonic + _GONE_S
    while _stands(api, one):
        if clock.stamp().monotonic >= end:
            return Check(title, False, f"left after {_GONE_S:.0f} s")
        clock.sleep(_LOOK_S)
    return Check(title, True, "deleted")


def _stands(api: ConfigApi, one: KubeObject) -> bool:
    found = api.get(NAMESPACES, name_of(one))
    return found is not None and uid_of(found) == uid_of(one)
