"""Points read back, and catalogues rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dr.app.core import App
from dr.app.known import known_before
from dr.app.overview import forget
from dr.errors import DrError
from dr.model.points import Check, PointManifest, PointSummary
from dr.model.timeline import format_instant
from dr.model.verification import Verification
from dr.ports import ObjectStore
from dr.record.catalogue import Rebuilt, read_point, rebuild
from dr.record.summary import held_until, retained_long_enough
from dr.record.verify import verify_manifest

READERS = 4
"""Points verified side by side."""


def verify_points(app: App, points: Sequence[PointSummary]) -> tuple[Verification, ...]:
    """In the order given; a point that cannot be read is a failed verification."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="verify") as pool:
        return tuple(pool.map(lambda point: verify_point(app, point), points))


def verify_point(app: App, summary: PointSummary) -> Verification:
    """Every byte and item of one point."""
    vault = app.vault(summary.source.component)
    try:
        manifest = read_point(vault, summary).manifest
        checks = verify_manifest(manifest, app.inspectors[manifest.method], vault)
        return Verification(summary, (*checks, *locks(vault, manifest)))
    except DrError as error:
        if error.temporary:
            raise
        return Verification(summary, (Check(summary.name, False, error.message),))


def locks(vault: ObjectStore, manifest: PointManifest) -> tuple[Check, ...]:
    """Whether the manifest and every artefact are locked as long as the point is to be kept."""
    names = (manifest.name, *(artefact.name for artefact in manifest.artefacts))
    with ThreadPoolExecutor(READERS, thread_name_prefix="locks") as pool:
        found = dict(zip(names, pool.map(vault.stat, names), strict=True))
    loose = [name for name, info in found.items() if info is None or not retained_long_enough(info, manifest)]
    until = format_instant(manifest.retain_until)
    if not loose:
        return (Check("locks", True, f"{len(names)} objects are locked until {until}"),)
    return tuple(Check(name, False, f"is locked until {held_until(found[name])}, promised {until}") for name in loose)


def rebuild_all(app: App) -> Mapping[str, Rebuilt]:
    """By vault URL, from the manifests alone; the cache is thrown away. A vault that has nothing where points were known
    is a difference."""
    names = [row.component for row in app.strategy.objectives if row.sources]
    known = {name: known_before(app, name)[0] for name in names}
    forget(app)
    return {app.vault(name).url: _missed(rebuild(app.vault(name)), known[name]) for name in names}


def _missed(found: Rebuilt, known: int) -> Rebuilt:
    if found.points or found.damaged or not known:
        return found
    return replace(found, differences=(*found.differences, f"nothing is there, where {known} points were known"))
