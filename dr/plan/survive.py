"""Which failure domains a copy survives, with the reason for each. What is not declared is not survived."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dr.model.strategy import FailureDomain, Place

_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_ZONE = re.compile(r"([a-z]+-[a-z]+\d+)-[a-z]")
_MULTI = {
    "us": ("us-", "northamerica-"),
    "eu": ("europe-",),
    "asia": ("asia-",),
    "nam3": ("us-east4", "us-east1"),
    "nam4": ("us-central1", "us-east1"),
    "nam5": ("us-central1", "us-central2", "us-east1"),
    "nam7": ("us-central1", "us-east4"),
    "eur3": ("europe-west1", "europe-west4"),
    "eur4": ("europe-north1", "europe-west4"),
    "asia1": ("asia-northeast1", "asia-northeast2"),
}
"""Places that keep data in several regions -> regions (or prefixes of them)."""


@dataclass(frozen=True, slots=True)
class Survival:
    """One domain's answer."""

    domain: FailureDomain
    survives: bool
    reason: str


def survival(source: Place, copy: Place, *, inside_source: bool = False) -> tuple[Survival, ...]:
    """What a copy at `copy` of a source at `source` survives, one answer for each domain, small to large.

    `inside_source`: the copy is a history that the source itself keeps (point-in-time recovery): it dies with it.
    """
    if inside_source:
        return tuple(_inside(domain) for domain in FailureDomain)
    return (
        Survival(FailureDomain.LOGICAL, True, "a bad write does not reach a copy that is never rewritten"),
        Survival(FailureDomain.SOURCE, True, "the copy lives in a vault outside the source"),
        Survival(FailureDomain.CLUSTER, True, "the vault is no part of the cluster"),
        _region(source.location, copy.location),
        _project(source.project, copy.project),
    )


def survived(source: Place, copy: Place, *, inside_source: bool = False) -> tuple[FailureDomain, ...]:
    """Only the domains that the copy survives."""
    return tuple(entry.domain for entry in survival(source, copy, inside_source=inside_source) if entry.survives)


def _inside(domain: FailureDomain) -> Survival:
    if domain is FailureDomain.LOGICAL:
        return Survival(domain, True, "the source keeps its own history of earlier instants")
    return Survival(domain, False, "the history is kept inside the source and is lost with it")


def _project(source: str, copy: str) -> Survival:
    domain = FailureDomain.PROJECT
    if not source or not copy:
        return Survival(domain, False, f"{'source' if not source else 'vault'} project not declared")
    if source == copy:
        return Survival(domain, False, f"source and vault are both in project {source}")
    return Survival(domain, True, f"the vault is in project {copy}, the source in {source}")


def _region(source: str, copy: str) -> Survival:
    domain = FailureDomain.REGION
    for role, location in (("source", source), ("vault", copy)):
        if not location:
            return Survival(domain, False, f"{role} location not declared")
        if not _regions(location):
            return Survival(domain, False, f"{role} location {location!r} is not a known region or multi-region")
    if len(_regions(copy)) > 1 or copy in ("us", "eu", "asia"):
        return Survival(domain, True, f"the vault is kept in several regions ({copy})")
    if _overlap(_regions(source), _regions(copy)):
        return Survival(domain, False, f"the vault ({copy}) shares the source's region ({source})")
    return Survival(domain, True, f"the vault is in {copy}, the source in {source}")


def _regions(location: str) -> tuple[str, ...]:
    """Regions (or prefixes of regions) of a location; empty when it is unknown."""
    text = location.lower()
    if zone := _ZONE.fullmatch(text):
        return (zone[1],)
    if _REGION.fullmatch(text):
        return (text,)
    if "+" in text:
        parts = tuple(text.split("+"))
        return parts if len(set(parts)) > 1 and all(_REGION.fullmatch(part) for part in parts) else ()
    return _MULTI.get(text, ())


def _overlap(source: tuple[str, ...], copy: tuple[str, ...]) -> bool:
    return any(there == here or (here.endswith("-") and there.startswith(here)) for here in source for there in copy)
