"""Where a drill's copies came from and where they went, as it lies there now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dr.errors import DAMAGED, DrError
from dr.model.dossier import SealedPoint, Segregation
from dr.model.plans import PlannedRestore
from dr.model.points import PointManifest
from dr.model.strategy import Place, Strategy
from dr.plan.modes import MODES
from dr.ports import ObjectStore
from dr.record.codec import decode, sha256

LIVE = "read from the living source: there is no stored point to lock"
LOGGED = "read from the change log in the vault, locked segment by segment: no one manifest was pinned"
_LOGS = frozenset(mode.log for mode in MODES.values() if mode.log)


@dataclass(frozen=True, slots=True)
class Around:
    """What of the site a dossier needs."""

    control: ObjectStore
    vault: Callable[[str], ObjectStore]
    """By component. Raises DrError."""
    strategy: Strategy
    places: Mapping[str, Place]
    """Of each component's vault."""


def sealed_point(around: Around, item: PlannedRestore) -> SealedPoint:
    """As it lies there now: what cannot be read is said, not left out."""
    try:
        vault = around.vault(item.source.component)
        if item.point is not None:
            return _stored(vault, item)
        return _unstored(item, vault.url, LOGGED if item.method in _LOGS else LIVE)
    except DrError as error:
        return _unstored(item, "", f"the point could not be read again: {error.message}")


def _stored(vault: ObjectStore, item: PlannedRestore) -> SealedPoint:
    assert item.point is not None
    where = f"{vault.url}/{item.point.name}"
    data, info = vault.get(item.point.name, generation=item.point.generation), vault.stat(item.point.name)
    if sha256(data) != item.point.sha256:
        raise DrError(DAMAGED, f"{where} is not what the plan pinned")
    manifest = decode(data, PointManifest, where)
    return SealedPoint(
        component=item.source.component,
        domain=item.domain,
        source=str(item.source),
        vault=vault.url,
        name=item.point.name,
        sha256=item.point.sha256,
        as_of=manifest.as_of,
        artefacts=len(manifest.artefacts),
        size=manifest.size,
        artefacts_sha256=artefacts_sha256(manifest),
        locked_until=info.retain_until if info else None,
        note="" if info and info.retain_until else "the manifest is not locked",
    )


def _unstored(item: PlannedRestore, vault: str, note: str) -> SealedPoint:
    name, digest = (item.point.name, item.point.sha256) if item.point else (item.method, "")
    return SealedPoint(
        item.source.component,
        item.domain,
        str(item.source),
        vault,
        name,
        digest,
        item.instant,
        None,
        item.size,
        "",
        None,
        note,
    )


def artefacts_sha256(manifest: PointManifest) -> str:
    """As `sha256sum` of the lines that `sha256sum` writes, sorted by name."""
    lines = sorted((one.name, one.sha256) for one in manifest.artefacts)
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()


def segregation(around: Around, item: PlannedRestore) -> Segregation:
    spec = next((one for one in around.strategy.sources() if one.id == item.source), None)
    return Segregation(
        component=item.source.component,
        domain=item.domain,
        source=str(item.source),
        isolated=item.target.isolated,
        prefix=item.target.prefix,
        names=dict(item.target.names),
        source_place=_place(spec.place if spec else None),
        vault_place=_place(around.places.get(item.source.component)),
    )


def _place(place: Place | None) -> str:
    """`project, location`; nothing where neither is declared."""
    return ", ".join(part for part in (place.project, place.location) if part) if place else ""
