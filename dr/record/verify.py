"""Is what a fresh reader found what was promised? Every failed check names the artefact (I1, I7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.model.points import Artefact, Check, PointManifest
from dr.ports import Draft, Inspection, Inspector, ObjectStore


def against_draft(draft: Draft, found: Inspection) -> tuple[Check, ...]:
    """Before commit. What the producer left open (sha256, records) is taken as found."""
    return tuple(_checks(draft.artefacts, draft.counts, found))


def against_manifest(manifest: PointManifest, found: Inspection) -> tuple[Check, ...]:
    """After commit, at any time: nothing may be open, nothing may differ."""
    return tuple(_checks(manifest.artefacts, manifest.counts, found))


def verify_manifest(manifest: PointManifest, inspector: Inspector, vault: ObjectStore) -> tuple[Check, ...]:
    """Read the whole point back, fresh. Raises DrError only for what says nothing about the point (UNREACHABLE...)."""
    return against_manifest(manifest, inspector.inspect(vault, manifest.artefacts, manifest.details))


def failures(checks: Sequence[Check]) -> str:
    """One sentence of the failed ones: each artefact named once with all that speaks against it; at most three in full."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if not check.passed:
            found.setdefault(check.name, []).append(check.detail.removeprefix(f"{check.name}: "))
    sentences = [f"{name}: {'; '.join(details)}" for name, details in found.items()]
    more = f"; and {len(sentences) - 3} more" if len(sentences) > 3 else ""
    return "; ".join(sentences[:3]) + more


def _checks(promised: Sequence[Artefact], counts: Mapping[str, int], found: Inspection) -> Iterator[Check]:
    yield from found.checks
    if not promised:
        yield Check("artefacts", False, "there is none: a point without artefacts restores nothing")
    by_name = {artefact.name: artefact for artefact in found.artefacts}
    for artefact in promised:
        yield _artefact(artefact, by_name.pop(artefact.name, None))
    for name in sorted(by_name):
        yield Check(name, False, "was read but is not promised")
    for name, count in sorted(counts.items()):
        yield _count(name, count, found.counts.get(name))


def _artefact(promised: Artefact, found: Artefact | None) -> Check:
    if found is None:
        return Check(promised.name, False, "could not be read")
    differences = [
        f"{field} is {got}, promised {wanted}"
        for field, wanted, got in (
            ("size", promised.size, found.size),
            ("crc32c", promised.crc32c, found.crc32c),
            ("sha256", promised.sha256, found.sha256),
            ("generation", promised.generation, found.generation),
            ("role", promised.role, found.role),
            ("records", promised.records, found.records),
        )
        if wanted != got and wanted not in ("", None)
    ]
    if not found.sha256:
        differences.append("sha256 was not computed")
    good = f"{found.size} bytes, sha256 {found.sha256[:12]}"
    return Check(promised.name, not differences, "; ".join(differences) or good)


def _count(name: str, promised: int, found: int | None) -> Check:
    return Check(
        f"count of {name}", found == promised, f"found {found if found is not None else 'none'}, promised {promised}"
    )
