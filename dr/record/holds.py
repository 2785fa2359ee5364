"""Holds on recovery points: appended records in the control repository. A hold always wins over retention.

`holds/<slot>/<id>.json`, or `holds/<slot>/<id>.until-<instant>.json` when it ends by itself; `<id>.released.json` ends it. So a
listing alone tells what holds, and whatever cannot be read holds.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime

from dr.errors import DAMAGED, DrError
from dr.model.retention import HoldKind, HoldRecord, ReleaseRecord
from dr.model.timeline import compact_instant, parse_compact
from dr.ports import ObjectInfo, ObjectStore
from dr.record.codec import decode, encode
from dr.record.layout import POINTS, point_slot

PREFIX = "holds/"
_NAME = re.compile(
    r"holds/(?P<slot>[^/]+)/(?P<id>[0-9A-Za-z.]+-[0-9a-f]+)(\.until-(?P<until>[0-9TZ.]+))?(?P<released>\.released)?\.json"
)


def new_hold(
    mode: HoldKind, point: str, now: datetime, by: str, reason: str, until: datetime | None = None
) -> HoldRecord:
    """With an id of its own."""
    return HoldRecord(f"{compact_instant(now)}-{secrets.token_hex(4)}", mode, point, now, by, reason, until)


def place(control: ObjectStore, record: HoldRecord) -> None:
    """Durable when it returns. Raises DrError."""
    until = f".until-{compact_instant(record.until)}" if record.until else ""
    control.put(f"{_folder(record.point)}{record.id}{until}.json", encode(record))


def release(control: ObjectStore, record: HoldRecord, now: datetime, by: str, reason: str) -> None:
    """Ends that hold; the others on the same point stay."""
    ended = ReleaseRecord(record.id, record.point, now, by, reason)
    control.put(f"{_folder(record.point)}{record.id}.released.json", encode(ended))


def active_holds(control: ObjectStore, now: datetime, point: str = "") -> Mapping[str, tuple[HoldRecord, ...]]:
    """What holds now, by manifest name: of all points, or of one. Raises DrError UNREACHABLE."""
    prefix = _folder(point) if point else PREFIX
    found: dict[str, list[HoldRecord]] = {}
    for info in _standing(list(control.list(prefix)), now):
        record = _read(control, info)
        found.setdefault(record.point, []).append(record)
    return {name: tuple(records) for name, records in found.items()}


def _standing(objects: list[ObjectInfo], now: datetime) -> Iterator[ObjectInfo]:
    matches = [(info, _NAME.fullmatch(info.name)) for info in objects]
    released = {(match["slot"], match["id"]) for _, match in matches if match and match["released"]}
    for info, match in matches:
        if match is None or not (match["released"] or (match["slot"], match["id"]) in released or _over(match, now)):
            yield info


def _over(match: re.Match[str], now: datetime) -> bool:
    try:
        return match["until"] is not None and parse_compact(match["until"]) <= now
    except ValueError:
        return False


def _read(control: ObjectStore, info: ObjectInfo) -> HoldRecord:
    """A record that cannot be read holds all the same: somebody wanted this point."""
    match = _NAME.fullmatch(info.name)
    point = _point(info.name.split("/")[1])
    try:
        record = decode(control.get(info.name), HoldRecord, f"{control.url}/{info.name}") if match else None
        if record is not None and record.point == point:
            return record
    except DrError as error:
        if error.kind is not DAMAGED:
            raise
    words = f"a record that cannot be read: {control.url}/{info.name}"
    return HoldRecord(match["id"] if match else "", HoldKind.HOLD, point, info.created, "somebody", words)


def _folder(point: str) -> str:
    slot = point_slot(point)
    if slot is None:
        raise ValueError(f"{point!r} is not the name of a manifest")
    return f"{PREFIX}{slot.id}/"


def _point(slot: str) -> str:
    """The manifest's name of a slot."""
    date = slot.partition("@")[2][:8]
    return f"{POINTS}{date[:4]}/{date[4:6]}/{date[6:8]}/{slot}.json"
