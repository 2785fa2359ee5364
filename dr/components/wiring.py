"""What a component is built from, and what it brings. Each `dr/components/<component>/kit.py` offers `kit(wiring) -> Kit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dr.model.erasure import Erasure
from dr.model.points import Check, Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.ports import (
    Clock,
    Follower,
    Inspector,
    KeyWrapper,
    LiveGuard,
    LivingWitness,
    ObjectStore,
    Remembering,
    Restorer,
    Source,
)

if TYPE_CHECKING:
    from dr.settings import Settings
    from dr.vendors.google import GoogleAccess
    from dr.vendors.kubernetes import Kubernetes


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a component is built from."""

    settings: Settings
    clock: Clock
    google: GoogleAccess
    kubernetes: Callable[[], Kubernetes]
    open_store: Callable[[str], ObjectStore]
    keys: Callable[[], tuple[KeyWrapper, ...]] = tuple
    """Key encryption keys, primary first; empty: none is declared."""
    erasures: Callable[[], tuple[Erasure, ...]] = tuple
    """Reads the ledger of erased subjects anew."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a component brings: `dr/components/<component>/kit.py` builds it."""

    source: Callable[[SourceSpec], Source]
    inspectors: tuple[Inspector, ...]
    restorers: tuple[Restorer, ...]
    witness: LivingWitness | None = None
    memory: Remembering | None = None
    ready: Callable[[SourceSpec], tuple[Check, ...]] | None = None
    """For `dr check --pre`: what a restore needs besides the vault, asked as whoever restores. A failure to look is a failed
    check, not an exception."""
    guard: LiveGuard | None = None
    """For restores over what lives; None: this component never goes over anything."""
    sweep: Callable[[datetime, Callable[[str], Mapping[str, str] | None]], Iterator[Check]] | None = None
    """For the reaper: removes what only its labels tell as left by an expired drill (`dr.run.reaper.Sweep`)."""
    follower: Callable[[SourceSpec], Follower] | None = None
    """For sources that are captured continuously."""
    coverage: Callable[[SourceSpec, ObjectStore, tuple[FailureDomain, ...]], tuple[Coverage, ...]] | None = None
    """(source, vault, domains that the vault survives) -> intervals that the change log in the vault covers."""
