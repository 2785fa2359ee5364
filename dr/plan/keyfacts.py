"""Whether the key encryption keys are what the safety of sealed values asks: pure judgement over what was read of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model.points import Check
from dr.plan.permissions import CAPTURE, UNSEAL, Where, permissions

_NAME = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/.*")


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key as Cloud KMS describes it; words are the API's own (`ENCRYPT_DECRYPT`, `HSM`, `ENABLED`)."""

    name: str
    purpose: str
    protection: str
    rotation: timedelta | None
    primary: str
    """Number of the primary version, or nothing."""
    primary_state: str

    @property
    def location(self) -> str:
        return location_of(self.name)


def location_of(name: str) -> str:
    """The location in a key's resource name (or `gcp-kms://` URL), lower case; nothing for a local key."""
    found = _NAME.search(name)
    return found["location"].lower() if found else ""


def judge_key(facts: KeyFacts) -> tuple[Check, ...]:
    """One key: usable, rotated, and how it is protected."""
    usable = facts.purpose == "ENCRYPT_DECRYPT" and facts.primary_state == "ENABLED"
    state = f"version {facts.primary} {facts.primary_state}" if facts.primary else "no primary version"
    return (
        Check(f"key {facts.name} usable", usable, f"{facts.purpose}, {state}, {facts.protection or 'SOFTWARE'}"),
        Check(f"key {facts.name} rotation", facts.rotation is not None, _rotation(facts.rotation)),
    )


def _rotation(period: timedelta | None) -> str:
    return f"every {period.days} days" if period else "never rotated: set a rotation period"


def permitted(key: str, held: Collection[str], identity: str) -> tuple[Check, ...]:
    """What the identity needs on the key, and for capture that it cannot open what it seals."""
    checks = [_holds(key, permission, permission in held) for permission in permissions(identity, Where.KEY)]
    if identity == CAPTURE:
        detail = "this identity may open what it seals: take it away" if UNSEAL in held else "not held, as it must be"
        checks.append(Check(f"key {key} no {UNSEAL}", UNSEAL not in held, detail))
    return tuple(checks)


def _holds(key: str, permission: str, held: bool) -> Check:
    return Check(f"key {key} {permission}", held, "held" if held else "missing")


def judge_places(names: Sequence[str]) -> Check:
    """Whether the loss of one region leaves a key: primary and secondary in different locations, none of them global or
    multi-regional in common."""
    places = [location_of(name) or "a file" for name in names]
    apart = len(names) > 1 and len(set(places)) == len(places)
    if len(names) < 2:
        detail = f"one key only, in {places[0]}: its loss is the loss of every sealed value; declare keys.secondary"
    else:
        detail = " and ".join(places) if apart else f"both in {places[0]}: one loss takes both"
    return Check("keys in different regions", apart, detail)
