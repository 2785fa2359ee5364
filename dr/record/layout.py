"""Names of all stored objects, and the `format.json` that every repository starts with."""

from __future__ import annotations

import re
from datetime import datetime

from dr.errors import CONFIGURATION, DAMAGED, DrError
from dr.model.ids import Slot
from dr.model.timeline import compact_instant
from dr.ports import ObjectStore
from dr.record.codec import FORMAT, dump, open_envelope

FORMAT_NAME = "format.json"
POINTS = "points/"
_POINT = re.compile(r"points/\d{4}/\d{2}/\d{2}/(?P<slot>[^/]+)\.json")
_CLAIM = re.compile(r"claim-(\d{4,})\.json")
_STEP = re.compile(r"(\d{4,})/(\d{2,})-([A-Za-z0-9._-]+)\.json")
_END = re.compile(r"(\d{4,})/end\.json")
_ALIVE = re.compile(r"(\d{4,})/alive-([0-9TZ.]+)\.json")
_STEP_NAME = re.compile(r"[A-Za-z0-9._-]+")


def point_slot(name: str) -> Slot | None:
    """The slot of a manifest's name; None when the name is not one of a manifest."""
    match = _POINT.fullmatch(name)
    try:
        return Slot.parse(match["slot"]) if match else None
    except ValueError:
        return None


def staging(slot: Slot, attempt: int) -> str:
    """Where an attempt's artefacts go, inside the vault."""
    return f"data/{slot.id}/{attempt}/"


class UnitLayout:
    """Names inside one unit of the journal: `runs/<slot>/`, `restores/<plan>/`, `drills/<drill>/`."""

    def __init__(self, base: str, unit: str) -> None:
        self.root = f"{base}/{unit}/"

    def claim(self, epoch: int) -> str:
        return f"{self.root}claim-{epoch:04d}.json"

    def step(self, epoch: int, index: int, step: str) -> str:
        if not _STEP_NAME.fullmatch(step):
            raise ValueError(f"{step!r} cannot be the name of a step")
        return f"{self.root}{epoch:04d}/{index:02d}-{step}.json"

    def end(self, epoch: int) -> str:
        return f"{self.root}{epoch:04d}/end.json"

    def alive(self, epoch: int, expires: datetime) -> str:
        """The name says all: whoever lists the unit knows until when its owner lives."""
        return f"{self.root}{epoch:04d}/alive-{compact_instant(expires)}.json"

    def claimed_epoch(self, name: str) -> int | None:
        match = _CLAIM.fullmatch(name.removeprefix(self.root))
        return int(match[1]) if match else None

    def is_step(self, name: str) -> bool:
        return bool(_STEP.fullmatch(name.removeprefix(self.root)))

    def is_end(self, name: str) -> bool:
        return bool(_END.fullmatch(name.removeprefix(self.root)))

    def alive_until(self, name: str) -> tuple[int, str] | None:
        """(epoch, compact instant) of a sign of life."""
        match = _ALIVE.fullmatch(name.removeprefix(self.root))
        return (int(match[1]), match[2]) if match else None


def ensure_format(store: ObjectStore, role: str) -> None:
    """Check `format.json`, or write it into a place that has none. `role`: `control` or `vault`.

    Raises DrError NEWER_FORMAT, DAMAGED, or CONFIGURATION when the place has the other role.
    """
    if store.stat(FORMAT_NAME) is None:
        store.put(FORMAT_NAME, dump({"format": FORMAT, "kind": "repository", "role": role}))
    check_format(store, role)


def check_format(store: ObjectStore, role: str) -> None:
    """As `ensure_format`, but only reads: raises NOT_FOUND where there is none."""
    where = f"{store.url}/{FORMAT_NAME}"
    body = open_envelope(store.get(FORMAT_NAME), "repository", where)
    if set(body) != {"role"}:
        raise DrError(DAMAGED, f"{where} is damaged: it does not say its role")
    if body["role"] != role:
        raise DrError(CONFIGURATION, f"{store.url} is a {body['role']} repository, not a {role}")
