"""What the log knows of one kind, and what a listing or an event adds to it. Pure but for the sealing it is given.

The rule of vanished objects (I5's spirit for logs): what a watch reports as deleted is deleted. What a listing merely lacks is
deleted at once only where the same listing shows something else that the log knows in that namespace; a namespace (or the
whole cluster, for kinds without one) of which nothing is left is doubted, see `doubted` and `confirming.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.components.cluster.living import last_change
from dr.components.config.normal import Plain, digest, normalised, skipped
from dr.components.config.sealing import SecretBox
from dr.components.config.state import DELETE, Held, ObjectKey, State
from dr.ports import Json
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, name_of, namespace_of, text, uid_of

_SECOND = timedelta(seconds=1)
GONE_UNSEEN = "gone when listed again"
LEFT = "no longer chosen"
SKIPPED = "no longer captured"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry to be: what happened to one object."""

    key: ObjectKey
    data: Json
    by: datetime | None = None
    """It had happened by then, as the object itself tells; None: it does not."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the log has of one object. `mark` is equal only if the configuration is."""

    uid: str
    version: str
    mark: str


@dataclass(frozen=True, slots=True)
class Form:
    """How objects of one kind become entries; with a `box` they are Secrets."""

    box: SecretBox | None = None

    def mark(self, plain: Plain) -> str:
        if self.box is None:
            return digest(plain)
        bare, data = self.box.split(plain)
        return _secret_mark(bare, self.box.digest(data))

    def mark_of(self, held: Held) -> str:
        return digest(held.object) if held.digest is None else _secret_mark(held.object, held.digest)

    def data(self, key: ObjectKey, plain: Plain, body: KubeObject) -> Json:
        told: dict[str, object] = {"op": "put", "object": plain, "uid": uid_of(body), "rv": version_of(body)}
        if self.box is not None:
            bare, data = self.box.split(plain)
            told |= {"object": bare, "sealed": self.box.seal(key, data), "digest": self.box.digest(data)}
        return told


def _secret_mark(bare: KubeObject, told: Json) -> str:
    return f"{text(told, 'key')} {text(told, 'hmac')} {digest(bare)}"


def changed_by(body: KubeObject) -> datetime | None:
    """The end of the second in which it last changed: Kubernetes keeps no more, and a change must not look older than it is."""
    changed = last_change(body)
    return changed + _SECOND if changed else None


def version_of(body: KubeObject) -> str:
    return text(body, "metadata", "resourceVersion")


class Tracker:
    """One kind. `covers` says which objects are meant (those of chosen namespaces)."""

    def __init__(self, resource: Resource, form: Form, covers: Callable[[KubeObject], bool]) -> None:
        self.resource, self._form, self._covers = resource, form, covers
        self.known: dict[ObjectKey, Known] = {}

    def remember(self, state: State) -> None:
        """What the log holds of this kind."""
        mine = ((key, held) for key, held in state.objects.items() if key.kind == str(self.resource))
        self.known = {key: Known(held.uid, held.version, self._form.mark_of(held)) for key, held in mine}

    def key_of(self, body: KubeObject) -> ObjectKey:
        return ObjectKey(namespace_of(body) if self.resource.namespaced else "", str(self.resource), name_of(body))

    def seen(self, body: KubeObject) -> Change | None:
        """The object is like this now."""
        key = self.key_of(body)
        if not self._covers(body):
            return self.gone(key, LEFT)
        if skipped(key.kind, body):
            return self.gone(key, SKIPPED)
        plain, before = self._typed(normalised(key.kind, body)), self.known.get(key)
        found = Known(uid_of(body), version_of(body), self._form.mark(plain))
        if before is not None and (before.uid, before.version) == (found.uid, found.version):
            return None
        self.known[key] = found
        if before is not None and before.mark == found.mark:
            return None
        return Change(key, self._form.data(key, plain, body), changed_by(body))

    def _typed(self, plain: Plain) -> Plain:
        """The items of a list do not say what they are, events do."""
        return {"apiVersion": self.resource.group_version, "kind": self.resource.kind, **plain}

    def gone(self, key: ObjectKey, why: str = "") -> Change | None:
        """The object is no more."""
        if self.known.pop(key, None) is None:
            return None
        return Change(key, {"op": DELETE, **({"why": why} if why else {})})

    def leave(self, namespace: str) -> list[Change]:
        """A namespace is no longer meant."""
        mine = [key for key in self.known if key.namespace == namespace]
        return [change for key in mine if (change := self.gone(key, LEFT))]

    def missing(self, items: Iterable[KubeObject]) -> set[ObjectKey]:
        """What the log knows and a listing lacks."""
        return self.known.keys() - {self.key_of(body) for body in items}

    def listed(self, items: Collection[KubeObject]) -> list[Change]:
        """A listing that is believed: the difference to what was known."""
        gone = [self.gone(key, GONE_UNSEEN) for key in sorted(self.missing(items))]
        return [change for change in (*gone, *map(self.seen, items)) if change]


def doubted(known: Collection[ObjectKey], missing: Collection[ObjectKey]) -> tuple[str, ...]:
    """Namespaces ("" for kinds without one) of which the log knows something and the listing shows nothing of it."""
    shown = {key.namespace for key in known if key not in missing}
    return tuple(sorted({key.namespace for key in missing} - shown))


def told(body: KubeObject) -> str:
    """`namespace/name`, for messages."""
    space = mapping(body, "metadata").get("namespace")
    return f"{space}/{name_of(body)}" if space else name_of(body)
