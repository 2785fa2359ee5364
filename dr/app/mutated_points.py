"""Faults of a recovery point as such, whatever it is of: its manifest, and the listing that tells of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

from dr.components.planting import Forgery, Subject, Unsuitable
from dr.model.mutations import Edit
from dr.model.timeline import format_instant
from dr.plan.mutations import spoilt
from dr.record.codec import dump, encode
from dr.record.summary import metadata_of


def _flipped(how: str, subject: Subject, _: Random) -> Edit:
    name = subject.point.name
    return Edit({name: spoilt(how, subject.read(name))}, (name,))


def _other(subject: Subject, _: Random) -> Edit:
    """What stands under its name is the manifest of the point before, and the listing tells nothing of it. (With the other's
    metadata too, it would be a point that is not there: the one before is taken, and how much older it is is said.)"""
    name = subject.point.name
    return Edit({name: encode(subject.before)}, (name,))


def _newer(subject: Subject, _: Random) -> Edit:
    name = subject.point.name
    body = json.loads(encode(subject.point))
    return Edit({name: dump({**body, "format": 99})}, (name,))


def _lying(subject: Subject, _: Random) -> Edit:
    """Only what the listing tells is another."""
    name = subject.point.name
    told = {**metadata_of(subject.point), "dr-as-of": format_instant(subject.point.as_of + timedelta(milliseconds=1))}
    return Edit({}, (name,), {name: told})


def _no_artefact(subject: Subject, _: Random) -> Edit:
    """An honest manifest of nothing."""
    if not subject.point.artefacts:
        raise Unsuitable("it has no artefact")
    files: dict[str, bytes | None] = {one.name: None for one in subject.point.artefacts}
    return Edit(files, (subject.point.name,))


def _unlisted(subject: Subject, _: Random) -> Edit:
    return Edit({}, (str(subject.spec.id), subject.spec.id.component), emptied=True)


def _plain(name: str, what: str, plant: Callable[[Subject, Random], Edit]) -> Forgery:
    return Forgery(name, what, plant, forged=False, follows=False)


POINT_FAULTS = (
    *(
        _plain(f"manifest-{how}", f"the manifest: {words}", partial(_flipped, how))
        for how, words in (
            ("flip-first", "its first byte has one bit flipped"),
            ("flip-middle", "its middle byte has one bit flipped"),
            ("flip-last", "its last byte has one bit flipped"),
            ("truncate", "its second half is gone"),
        )
    ),
    _plain("manifest-other", "the manifest is that of the point before", _other),
    _plain("manifest-newer", "the manifest is of a format that nobody knows", _newer),
    _plain("listing-lies", "the listing tells another instant than the manifest", _lying),
    Forgery("no-artefacts", "Completed without contents: no artefact is left, and none is promised", _no_artefact),
)
EMPTY_LIST = _plain("empty-list", "the vault lists nothing at all", _unlisted)
