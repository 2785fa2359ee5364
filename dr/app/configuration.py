"""What the log of a cluster's configuration tells: its history, a state, the difference of two. Secrets stay closed to people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from dr.app.core import App
from dr.changelog.seal import Sealer
from dr.components.config.access import SECRETS
from dr.components.config.comparing import Difference, compared
from dr.components.config.living import Living, resources_of
from dr.components.config.normal import Plain
from dr.components.config.reading import history, state_at
from dr.components.config.sealing import opened, same_digest
from dr.components.config.source import ConfigSource
from dr.components.config.state import Held, ObjectKey, State, taken
from dr.errors import CONFIGURATION, INSTANT_UNREACHABLE, NOT_FOUND, USAGE, DrError
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.report.envelope import Item

SEALED = "(sealed)"
COMPONENT = "config"


@dataclass(frozen=True, slots=True)
class Match:
    """Which objects are asked for; empty: any."""

    name: str = ""
    namespace: str = ""
    kind: str = ""
    """`configmaps`, `deployments.apps`, or the plural name alone."""

    def __call__(self, key: ObjectKey) -> bool:
        kinds = ("", key.kind, key.kind.partition(".")[0])
        return self.name in ("", key.name) and self.namespace in ("", key.namespace or "-") and self.kind in kinds


def source_of(app: App, name: str) -> SourceSpec:
    """The named source of the row, or its only one. Raises DrError CONFIGURATION, USAGE."""
    specs = app.specs((COMPONENT,))
    if not specs:
        raise DrError(CONFIGURATION, "config is not captured yet: the strategy declares no source for it")
    found = [spec for spec in specs if name in ("", spec.id.name)]
    if len(found) != 1:
        named = ", ".join(spec.id.name for spec in specs)
        raise DrError(USAGE, f"which source of config? --source takes one of: {named}")
    return found[0]


# --- history


def changes(app: App, spec: SourceSpec, match: Match, since: datetime | None, until: datetime | None) -> Iterator[Item]:
    """Every change of the objects asked for, oldest first, with the places that it changed."""
    vault = app.vault(COMPONENT)
    held = _before(app, spec, since).objects if since else {}
    for entry in history(vault, spec.id, since, until):
        key, now = taken(entry)
        before = held.pop(key, None)
        if now is not None:
            held[key] = now
        if match(key):
            what = "deleted" if now is None else "created" if before is None else "changed"
            paths = _paths(before, now) if before and now else []
            yield {**_named(key), "at": format_instant(entry.at), "operation": what, "changed": paths,
                   "why": str(entry.data.get("why", ""))}  # fmt: skip


def _before(app: App, spec: SourceSpec, since: datetime) -> State:
    try:
        return state_at(app.vault(COMPONENT), spec.id, since)
    except DrError as error:
        if error.kind is not INSTANT_UNREACHABLE:
            raise
        return State()


def _paths(before: Held, now: Held) -> list[str]:
    """Of a Secret that was written again, whether its data changed may not be known."""
    paths = [one.path for one in compared(before.object, now.object)]
    if now.sealed is not None and not same_digest(before.digest, now.digest):
        paths.append("data" if same_digest(before.digest, now.digest) is False else "data (written again)")
    return paths


def _named(key: ObjectKey) -> dict[str, object]:
    return {"namespace": key.namespace, "kind": key.kind, "name": key.name}


# --- show


def shown(app: App, spec: SourceSpec, match: Match, at: datetime | None) -> list[Item]:
    """The objects as they were. Raises DrError NOT_FOUND when there were none, INSTANT_UNREACHABLE."""
    state = state_at(app.vault(COMPONENT), spec.id, at)
    found = [(key, held) for key, held in sorted(state.objects.items(), key=lambda pair: pair[0]) if match(key)]
    if not found:
        when = f" at {format_instant(at)}" if at else ""
        raise DrError(NOT_FOUND, f"there was no such object{when}", hint="`dr config history` tells what there was")
    return [{**_named(key), "changed_at": format_instant(held.at), "object": _closed(held)} for key, held in found]


def _closed(held: Held) -> Plain:
    return {**held.object, **({"data": SEALED} if held.sealed is not None else {})}


# --- diff


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: closed objects, and how to open a Secret's data to compare it, never to show it."""

    objects: Mapping[ObjectKey, Plain]
    held: Mapping[ObjectKey, Held]


def diff(app: App, spec: SourceSpec, match: Match, start: datetime, end: datetime | None) -> tuple[Item, ...]:
    """What is different at `end` (None: in the living cluster). Raises DrError INSTANT_UNREACHABLE."""
    source = app.source(spec)
    assert isinstance(source, ConfigSource)
    vault, sealer = app.vault(COMPONENT), source.follower.sealer
    first = state_at(vault, spec.id, start).objects
    if end is not None:
        second = state_at(vault, spec.id, end).objects
        found = (_of_states(spec, sealer, key, first.get(key), second.get(key)) for key in first.keys() | second.keys())
    else:
        living = _living(source, first)
        found = (_of_living(spec, sealer, key, first.get(key), living.get(key)) for key in first.keys() | living.keys())
    mine = [item for item in found if item and match(_key_of(item))]
    return tuple(sorted(mine, key=lambda item: str(_key_of(item))))


def _key_of(item: Item) -> ObjectKey:
    return ObjectKey(str(item["namespace"]), str(item["kind"]), str(item["name"]))


def _living(source: ConfigSource, first: Mapping[ObjectKey, Held]) -> Mapping[ObjectKey, Plain]:
    api, options = source.follower.api, source.options
    wanted = {key: held.object for key, held in first.items()}
    resources = resources_of(wanted, api.served(), ("namespaces", *options.wanted))
    spaces = frozenset(source.namespaces()) | {key.namespace for key in first if key.namespace}
    return Living(api, spaces, True).normal(resources.values())


def _of_states(spec: SourceSpec, sealer: Sealer | None, key: ObjectKey, a: Held | None, b: Held | None) -> Item | None:
    if a is None or b is None:
        return _one_sided(key, a is None) if a or b else None
    places = list(compared(a.object, b.object))
    if a.sealed is not None and not _same_secret(spec, sealer, key, a, b):
        places.append(Difference("data", SEALED, SEALED))
    return _changed(key, places)


def _same_secret(spec: SourceSpec, sealer: Sealer | None, key: ObjectKey, a: Held, b: Held) -> bool:
    """By digest where one key made both, else by opening them here."""
    known = same_digest(a.digest, b.digest)
    return known if known is not None else _data(spec, sealer, key, a) == _data(spec, sealer, key, b)


def _data(spec: SourceSpec, sealer: Sealer | None, key: ObjectKey, held: Held) -> object:
    if sealer is None:
        raise DrError(CONFIGURATION, f"{key} can be compared only with the keys that open it; none is declared")
    return opened(sealer, spec.id, key, held).get("data", {})


def _of_living(spec: SourceSpec, sealer: Sealer | None, key: ObjectKey, a: Held | None, b: Plain | None) -> Item | None:
    if a is None or b is None:
        return _one_sided(key, a is None) if a or b else None
    bare = {name: value for name, value in b.items() if name != "data"} if key.kind == SECRETS else b
    places = list(compared(a.object, bare))
    if a.sealed is not None and _data(spec, sealer, key, a) != b.get("data", {}):
        places.append(Difference("data", SEALED, SEALED))
    return _changed(key, places)


def _one_sided(key: ObjectKey, added: bool) -> Item:
    return {**_named(key), "change": "added" if added else "removed", "places": []}


def _changed(key: ObjectKey, places: list[Difference]) -> Item | None:
    if not places:
        return None
    told = [{"path": one.path, "from": one.wanted, "to": one.found} for one in places]
    return {**_named(key), "change": "changed", "places": told}
