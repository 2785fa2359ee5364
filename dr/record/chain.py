"""The chain of sealed drills, and what is appended to each: create-only objects in the control repository.

`evidence/<number>.json` is one link. **The number is the fence**: of two drills that are sealed at once one finds its number
taken, and takes the next, behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.errors import DAMAGED, DrError
from dr.model.dossier import Addendum
from dr.model.sealed import ADDENDUM_TYPE, Envelope, read_envelope
from dr.ports import ObjectInfo, ObjectStore
from dr.record.codec import FORMAT, decode, dump, open_envelope

EVIDENCE = "evidence/"
DRILL = "dr-drill"


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One sealed drill."""

    number: int
    drill: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Appended:
    """One addendum, with the envelope that it came in."""

    addendum: Addendum
    envelope: Envelope


def newest(control: ObjectStore) -> ChainLink | None:
    """The end of the chain. Raises DrError DAMAGED, NEWER_FORMAT."""
    infos = _infos(control)
    return _read(control, infos[-1].name) if infos else None


def every_link(control: ObjectStore) -> tuple[ChainLink, ...]:
    """From the first. Raises DrError DAMAGED, NEWER_FORMAT."""
    return tuple(_read(control, info.name) for info in _infos(control))


def link_of(control: ObjectStore, drill: str) -> ChainLink | None:
    """None: not sealed. Names tell only numbers; the object's metadata tells the drill."""
    found = next((info for info in _infos(control) if info.metadata.get(DRILL) == drill), None)
    return _read(control, found.name) if found else None


def add_link(control: ObjectStore, link: ChainLink) -> ObjectInfo:
    """Raises DrError CONFLICT when the number is taken."""
    body = {
        "format": FORMAT,
        "kind": "sealed-drill",
        "number": link.number,
        "drill": link.drill,
        "envelope": link.envelope.to_json(),
    }
    return control.put(link_name(link.number), dump(body), metadata={DRILL: link.drill})


def link_name(number: int) -> str:
    """In the control repository."""
    return f"{EVIDENCE}{number:06d}.json"


def _infos(control: ObjectStore) -> list[ObjectInfo]:
    """In order of the numbers."""
    return [info for info in control.list(EVIDENCE) if info.name == link_name(_number(info.name))]


def _number(name: str) -> int:
    digits = name.removeprefix(EVIDENCE).removesuffix(".json")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _read(control: ObjectStore, name: str) -> ChainLink:
    where = f"{control.url}/{name}"
    body = open_envelope(control.get(name), "sealed-drill", where)
    try:
        if body.keys() != {"number", "drill", "envelope"} or link_name(int(body["number"])) != name:
            raise ValueError("its fields are not those of its name")
        return ChainLink(int(body["number"]), str(body["drill"]), read_envelope(body["envelope"]))
    except (ValueError, TypeError) as error:
        raise DrError(DAMAGED, f"{where} is damaged: {error}") from None


# --- addenda --------------------------------------------------------------------------------------------------------


def _folder(drill: str) -> str:
    return f"drills/{drill}/addenda/"


def addenda_of(control: ObjectStore, drill: str) -> tuple[Appended, ...]:
    """In order of their numbers. Raises DrError DAMAGED, NEWER_FORMAT."""
    return tuple(_appended(control, info.name) for info in control.list(_folder(drill)))


def _appended(control: ObjectStore, name: str) -> Appended:
    where = f"{control.url}/{name}"
    body = open_envelope(control.get(name), "sealed-addendum", where)
    try:
        envelope = read_envelope(body.get("envelope"))
    except ValueError as error:
        raise DrError(DAMAGED, f"{where} is damaged: it {error}") from None
    return Appended(read_addendum(envelope, where), envelope)


def read_addendum(envelope: Envelope, where: str) -> Addendum:
    """Raises DrError DAMAGED, NEWER_FORMAT."""
    if envelope.payload_type != ADDENDUM_TYPE:
        raise DrError(DAMAGED, f"{where} is damaged: {envelope.payload_type} is no addendum")
    return decode(envelope.payload, Addendum, where)


def append(control: ObjectStore, one: Appended, until: datetime | None) -> None:
    """Raises DrError CONFLICT when another addendum has taken the number."""
    name = f"{_folder(one.addendum.drill)}{one.addendum.number:04d}.json"
    info = control.put(name, dump({"format": FORMAT, "kind": "sealed-addendum", "envelope": one.envelope.to_json()}))
    if until is not None:
        control.retain(name, generation=info.generation, until=until)


def next_number(found: Sequence[Appended]) -> int:
    return max((one.addendum.number for one in found), default=0) + 1
