"""An empty list is a suspicion, not a fact: what it takes to believe that a namespace's objects of a kind are gone.

A second consistent list (no resource version asked for, so the store itself answers) at another resource version that
agrees; some of what is missing, asked for by name, is not there either; and the namespace is, or is truly gone from an API
server that still shows `kube-system`. Until then nothing is deleted in the log and its watermark stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

from dr.components.config.access import ConfigApi
from dr.components.config.state import ObjectKey
from dr.components.config.tracking import Tracker, doubted
from dr.errors import UNAVAILABLE, DrError
from dr.ports import Clock
from dr.vendors.kubernetes import Listing
from dr.vendors.kubernetes_objects import NAMESPACES, Resource

_ASKED = 10
"""Objects asked for by name."""
_TRIES, _PAUSE_S = 24, 0.5
"""A cluster that lives renews its nodes' leases every ten seconds, so the version moves."""


def believed(api: ConfigApi, tracker: Tracker, first: Listing, clock: Clock) -> Listing:
    """The listing to go by. Raises DrError UNAVAILABLE (temporary) when an emptiness cannot be confirmed."""
    doubts = doubted(tracker.known, tracker.missing(first.items))
    if not doubts:
        return first
    second = _later(api, tracker.resource, first.version, clock)
    missing = tracker.missing(second.items)
    still = doubted(tracker.known, missing)
    _require_absence(api, tracker.resource, [key for key in sorted(missing) if key.namespace in still][:_ASKED])
    _require_evidence(api, tracker.resource, still)
    return second


def _later(api: ConfigApi, resource: Resource, version: str, clock: Clock) -> Listing:
    for _ in range(_TRIES):
        clock.sleep(_PAUSE_S)
        second = api.list(resource)
        if second.version != version:
            return second
    raise DrError(UNAVAILABLE, f"the list of {resource} is empty, and no second version of it confirms that yet")


def _require_absence(api: ConfigApi, resource: Resource, keys: Sequence[ObjectKey]) -> None:
    for key in keys:
        if _stands(api, resource, key.name, key.namespace):
            raise DrError(UNAVAILABLE, f"the list of {resource} is empty, but {key} is there")


def _require_evidence(api: ConfigApi, resource: Resource, namespaces: Sequence[str]) -> None:
    """Each namespace is there, or is not while the server shows what every cluster has."""
    unseen = [name for name in namespaces if not name or not _stands(api, NAMESPACES, name)]
    if unseen and not _stands(api, NAMESPACES, "kube-system"):
        raise DrError(
            UNAVAILABLE, f"the list of {resource} is empty, from an API server that does not even show kube-system"
        )


def _stands(api: ConfigApi, resource: Resource, name: str, namespace: str = "") -> bool:
    """Asked by a list of one: who follows may list and watch, and needs no more."""
    return bool(api.list(resource, namespace, fields=f"metadata.name={name}", metadata_only=True).items)
