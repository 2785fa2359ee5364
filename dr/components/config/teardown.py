"""The contained namespaces of one restore go again: by label, name and journalled uid; nothing else was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dr.components.cluster.names import Names
from dr.components.cluster.teardown import patient
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
    found = list(_labelled(api, names, clock))
    ours = [one for one in found if journalled.get(name_of(one), uid_of(one)) == uid_of(one)]
    asked = [(one, _refused(api, clock, one)) for one in ours]
    others = [
        Check(f"namespace {name_of(one)}", False, "left alone: its uid is not what was made")
        for one in found
        if one not in ours
    ]
    return (*(_settled(api, clock, one, why) for one, why in asked), *others)


def _labelled(api: ConfigApi, names: Names, clock: Clock) -> Iterator[KubeObject]:
    for name in names.namespaces.values():
        found = _get(api, clock, name)
        if found is not None and names.labels.items() <= labels_of(found).items():
            yield found


def _get(api: ConfigApi, clock: Clock, name: str) -> KubeObject | None:
    return patient(lambda: api.get(NAMESPACES, name), "get a namespace", clock)


def _refused(api: ConfigApi, clock: Clock, one: KubeObject) -> str:
    try:
        patient(lambda: api.delete(NAMESPACES, name_of(one), uid=uid_of(one)), "delete a namespace", clock)
    except DrError as error:
        return error.message
    return ""


def _settled(api: ConfigApi, clock: Clock, one: KubeObject, why: str) -> Check:
    title = f"namespace {name_of(one)}"
    if why:
        return Check(title, False, why)
    end = clock.stamp().monotonic + _GONE_S
    while _stands(api, clock, one):
        if clock.stamp().monotonic >= end:
            return Check(title, False, f"left after {_GONE_S:.0f} s")
        clock.sleep(_LOOK_S)
    return Check(title, True, "deleted")


def _stands(api: ConfigApi, clock: Clock, one: KubeObject) -> bool:
    found = _get(api, clock, name_of(one))
    return found is not None and uid_of(found) == uid_of(one)
