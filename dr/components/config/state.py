"""What entries of a config log mean, and the state that they add up to. Pure.

`put` carries the normalised object (a Secret's data sealed), `delete` says that it is gone, `key` a sealed key of digests;
`reset` says that what came before could not be read, and that everything there is follows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dr.changelog import Entry
from dr.errors import DAMAGED, DrError
from dr.ports import Json
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, text

PUT, DELETE, KEY, RESET = "put", "delete", "key", "reset"
NOWHERE = "-"
"""The namespace of what has none, in a key."""
DIGEST_KEYS, LOG = "digestkeys.dr", "logs.dr"
"""Stand for a kind in the keys of `key` and `reset` entries."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """`namespace/kind.group/name`; the kind is the resource's plural name."""

    namespace: str
    kind: str
    name: str

    @property
    def space(self) -> str:
        """The namespace that it is in, or that it is."""
        return self.name if self.kind == "namespaces" else self.namespace

    def __str__(self) -> str:
        return f"{self.namespace or NOWHERE}/{self.kind}/{self.name}"

    @classmethod
    def parse(cls, key: str) -> ObjectKey:
        """Raises DrError DAMAGED."""
        parts = key.split("/", 2)
        if len(parts) != 3 or not all(parts):
            raise DrError(DAMAGED, f"the key {key!r} of a config log names no object")
        return cls("" if parts[0] == NOWHERE else parts[0], parts[1], parts[2])

    def resource(self, body: KubeObject) -> Resource:
        """Where the API serves it, at the version that it was captured in."""
        plural, _, group = self.kind.partition(".")
        return Resource(group, text(body, "apiVersion").rpartition("/")[2], plural, bool(self.namespace))


@dataclass(frozen=True, slots=True)
class Held:
    """One object of the state, as its last `put` has it. `sealed` is a Secret's data; `digest` its keyed digest."""

    at: datetime
    object: KubeObject
    uid: str = ""
    version: str = ""
    sealed: Json | None = None
    digest: Json | None = None

    @property
    def data(self) -> Json:
        """As an entry carries it."""
        told: dict[str, object] = {"op": PUT, "object": self.object, "uid": self.uid, "rv": self.version}
        if self.sealed is not None:
            told |= {"sealed": self.sealed, "digest": self.digest}
        return told


@dataclass(slots=True)
class State:
    """The fold of a log's entries, until the last of them. `keys`: sealed keys of digests, by id; `whole`: nothing that came
    before the first of them is missing."""

    objects: dict[ObjectKey, Held] = field(default_factory=dict)
    keys: dict[str, Entry] = field(default_factory=dict)
    last: datetime | None = None
    whole: bool = False

    def take(self, entry: Entry) -> None:
        """Raises DrError DAMAGED."""
        key, op = ObjectKey.parse(entry.key), text(entry.data, "op")
        if op == PUT:
            self.objects[key] = _held(entry)
        elif op == DELETE:
            self.objects.pop(key, None)
        elif op == KEY:
            self.keys[key.name] = entry
        elif op == RESET:
            self.objects, self.keys, self.whole = {}, {}, True
        else:
            raise DrError(DAMAGED, f"a config log holds an entry {op!r} of {entry.key}, which nothing here understands")
        self.last = entry.at

    def entries(self) -> Iterator[Entry]:
        """The same state, in as few entries as there are: keys first."""
        yield from (self.keys[key] for key in sorted(self.keys))
        yield from (Entry(held.at, str(key), held.data) for key, held in sorted(self.objects.items(), key=_by_key))

    def namespaces(self) -> tuple[str, ...]:
        """Of which anything is held."""
        return tuple(sorted({key.space for key in self.objects} - {""}))


def fold(entries: Iterable[Entry], state: State | None = None) -> State:
    """Raises DrError DAMAGED."""
    found = state if state is not None else State()
    for entry in entries:
        found.take(entry)
    return found


def taken(entry: Entry) -> tuple[ObjectKey, Held | None]:
    """What one put or delete says; None: the object is gone. Raises DrError DAMAGED."""
    return ObjectKey.parse(entry.key), _held(entry) if text(entry.data, "op") == PUT else None


def _by_key(pair: tuple[ObjectKey, Held]) -> ObjectKey:
    return pair[0]


def _held(entry: Entry) -> Held:
    data = entry.data
    body = data.get("object")
    if not isinstance(body, Mapping):
        raise DrError(DAMAGED, f"a config log holds a put of {entry.key} without its object")
    sealed = mapping(data, "sealed") or None
    return Held(entry.at, body, text(data, "uid"), text(data, "rv"), sealed, mapping(data, "digest") or None)
