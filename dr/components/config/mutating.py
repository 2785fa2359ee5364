"""Faults for copies of a config log: objects that are others, or sealed anew, under a chain that fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import cast

from dr.changelog.mutating import Log, Segment, closed_up, dropped, exchanged
from dr.changelog.seal import Sealer
from dr.components.config.access import SECRETS
from dr.components.config.opened import Opened
from dr.components.config.reading import base_of
from dr.components.config.sealing import context
from dr.components.config.state import ObjectKey
from dr.components.planting import CLAIM, Forgery, Subject, Unsuitable
from dr.components.planting_objects import Body, first_container, give_rights_to_another
from dr.model.mutations import Edit
from dr.vendors.kubernetes_objects import mapping


def parts(subject: Subject) -> Mapping[str, str]:
    """The newest pack's two objects, and a segment with entries behind it: what a restore of now reads."""
    log = Log.read(subject.vault, subject.spec.id)
    pack = log.last_pack
    found = {"config-pack/changes": pack.name, "config-pack/base": base_of(pack.name)} if pack else {}
    loose = [segment for segment in log.loose if segment.lines]
    return found | ({"log/segment": loose[len(loose) // 2].unit.name} if loose else {})


def forgeries(subject: Subject) -> Sequence[Forgery]:
    return (
        Forgery("value-changed", "one key of a ConfigMap has another value, chain and sums fit", _value),
        Forgery("image-changed", "a Deployment runs another image, chain and sums fit", _image),
        Forgery("label-changed", "a label of one object has another value, chain and sums fit", _label),
        Forgery("rights-changed", "a role binding names another subject, chain and sums fit", _rights),
        Forgery("secret-resealed", "a Secret has another value, sealed anew under its own data key", _resealed),
        Forgery("secrets-swapped", "two Secrets have each other's sealed values", _sealed_swapped),
        Forgery("wrong-key", "a Secret is sealed under a key that nobody holds", _wrong_key),
        Forgery("object-missing", "one object never was, chain and sums fit", _missing),
        Forgery("namespace-missing", "all objects of one namespace never were", _namespace),
        Forgery("deleted", "the log ends with a deletion that nobody made", _deleted),
        Forgery("tenants-swapped", "two tenants have each other's ConfigMap", _tenants),
        Forgery("stale-tail", "the last changes are gone, and the log says that nothing is missing", _stale),
        Forgery("segment-closed-up", "a segment never was: those after it are numbered and chained anew", _closed),
        _unforged("segment-dropped", "a segment is gone", _dropped),
        _unforged("segments-reordered", "two segments stand under each other's name", _exchanged),
    )


def _unforged(name: str, what: str, plant: Callable[[Subject, Random], Edit]) -> Forgery:
    return Forgery(name, what, plant, forged=False, follows=False)


def _changed(subject: Subject, rng: Random, kind: str, change: Callable[[Body], bool]) -> Edit:
    """One object of a kind, changed where `change` finds something to change."""
    read = Opened.of(subject)
    puts = read.puts(kind)
    keys = sorted(puts)
    rng.shuffle(keys)
    for key in keys:
        if change(cast(Body, puts[key]["object"])):
            return read.edit([str(key)])
    raise Unsuitable(f"no {kind} has anything that could be changed so")


def _value(subject: Subject, rng: Random) -> Edit:
    def change(body: Body) -> bool:
        data = body.get("data") or {}
        for name in sorted(data)[:1]:
            data[name] = f"{data[name]}!"
        return bool(data)

    return _changed(subject, rng, "configmaps", change)


def _image(subject: Subject, rng: Random) -> Edit:
    def change(body: Body) -> bool:
        container = first_container(body)
        if container is not None:
            container["image"] = "registry.invalid/other:1"
        return container is not None

    return _changed(subject, rng, "deployments.apps", change)


_LABELLED = ("configmaps", "services", "deployments.apps", "namespaces")


def _label(subject: Subject, rng: Random) -> Edit:
    def change(body: Body) -> bool:
        labels = body["metadata"].get("labels") or {}
        for name in sorted(labels)[:1]:
            labels[name] = "another"
        return bool(labels)

    for kind in _LABELLED:
        with suppress(Unsuitable):
            return _changed(subject, rng, kind, change)
    raise Unsuitable("no object has a label")


def _rights(subject: Subject, rng: Random) -> Edit:
    return _changed(subject, rng, "rolebindings.rbac.authorization.k8s.io", give_rights_to_another)


# --- Secrets


def _sealed(read: Opened) -> dict[ObjectKey, Body]:
    found = {key: data for key, data in read.puts(SECRETS).items() if mapping(data, "sealed")}
    if not found:
        raise Unsuitable("no Secret of the log has a value")
    return found


def _resealed(subject: Subject, rng: Random) -> Edit:
    keys = subject.keys()
    if not keys:
        raise Unsuitable("no key is declared")
    read, sealer = Opened.of(subject), Sealer(keys)
    puts = _sealed(read)
    key = rng.choice(sorted(puts))
    put = puts[key]
    bound = context(subject.spec.id, str(key))
    put["sealed"] = sealer.seal_again(put["sealed"], b'{"changed":"eWVz"}', bound)
    return read.edit([str(key)])


def _sealed_swapped(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    puts = _sealed(read)
    if len(puts) < 2:
        raise Unsuitable("the log has one Secret only")
    one, other = rng.sample(sorted(puts), 2)
    puts[one]["sealed"], puts[other]["sealed"] = puts[other]["sealed"], puts[one]["sealed"]
    return read.edit([str(one), str(other)])


def _wrong_key(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    puts = _sealed(read)
    key = rng.choice(sorted(puts))
    puts[key]["sealed"] = Sealer((Stranger(),)).seal(b"{}", context(subject.spec.id, str(key)))
    return read.edit([str(key)])


class Stranger:
    """A key encryption key that nobody declared."""

    @property
    def name(self) -> str:
        return "local://stranger"

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in key) + bytes(16)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in wrapped[:-16])


# --- what is not there


def _missing(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    gone = rng.choice(sorted(read.puts("configmaps")))
    read.drop(lambda key: key == gone)
    return read.edit([str(gone)])


def _namespace(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    spaces = sorted({key.namespace for key in read.puts("configmaps")})
    if len(spaces) < 2:
        raise Unsuitable("the log has one namespace only")
    gone = rng.choice(spaces)
    read.drop(lambda key: key.space == gone)
    return read.edit([f"{gone}/"])


def _deleted(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    gone = rng.choice(sorted(read.puts("configmaps")))
    last = read.log.segments[-1]
    at = last.lines[-1]["at"] if last.lines else _newest(read.log)
    last.lines.append({"at": at, "key": str(gone), "data": {"op": "delete"}})
    return read.edit([str(gone)])


def _newest(log: Log) -> str:
    """The instant of the last entry before."""
    return max(str(line["at"]) for one in log.segments for line in one.lines)


def _tenants(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    puts = read.puts("configmaps")
    pairs = [
        (one, other)
        for one in puts
        for other in puts
        if one < other and one.name == other.name and one.namespace != other.namespace and _differ(puts, one, other)
    ]
    if not pairs:
        raise Unsuitable("no two namespaces have a ConfigMap of one name with different contents")
    one, other = rng.choice(sorted(pairs))
    first, second = puts[one]["object"], puts[other]["object"]
    first["data"], second["data"] = second.get("data"), first.get("data")
    return read.edit([str(one), str(other)])


def _differ(puts: Mapping[ObjectKey, Body], one: ObjectKey, other: ObjectKey) -> bool:
    return bool(puts[one]["object"].get("data") != puts[other]["object"].get("data"))


# --- segments


def _loose(log: Log, least: int) -> list[Segment]:
    found = [segment for segment in log.loose[:-1] if segment.lines]
    if len(found) < least:
        raise Unsuitable(f"fewer than {least} segments with entries lie behind the last pack")
    return found


def _final(read: Opened, segment: Segment) -> list[str]:
    """Objects whose newest entry is in that segment, and which a living source can date: see `Opened.datable`. Of an object that
    is no more, it keeps nothing that could be dated."""
    later = {str(line["key"]) for one in read.log.segments if one.head.seq > segment.head.seq for line in one.lines}
    return [str(line["key"]) for line in segment.lines if str(line["key"]) not in later and read.datable(line)]


def _closed(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    fitting = [(one, hit) for one in _loose(read.log, 1) if (hit := _final(read, one))]
    if not fitting:
        raise Unsuitable("every change behind the last pack was changed again, undone, or has just happened")
    gone, hit = rng.choice(fitting)
    return closed_up(read.log, gone, hit)


def _stale(subject: Subject, rng: Random) -> Edit:
    read = Opened.of(subject)
    log = read.log
    fitting = [one for one in log.loose if one.lines]
    if not fitting:
        raise Unsuitable("no change lies behind the last pack")
    fitting[-1].lines.clear()
    log.segments[-1].watermark = subject.now
    return read.edit(CLAIM)


def _dropped(subject: Subject, rng: Random) -> Edit:
    log = Log.read(subject.vault, subject.spec.id)
    return dropped(log, rng.choice(_loose(log, 1)))


def _exchanged(subject: Subject, rng: Random) -> Edit:
    log = Log.read(subject.vault, subject.spec.id)
    one, other = rng.sample(_loose(log, 2), 2)
    return exchanged(log, one, other)
