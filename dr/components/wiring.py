"""What a component is built from, and what it brings. Each `dr/components/<component>/kit.py` offers `kit(wiring) -> Kit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dr.model.strategy import SourceSpec
from dr.ports import Clock, Inspector, LivingWitness, ObjectStore, Restorer, Source

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


@dataclass(frozen=True, slots=True)
class Kit:
    """What a component brings: `dr/components/<component>/kit.py` builds it."""

    source: Callable[[SourceSpec], Source]
    inspectors: tuple[Inspector, ...]
    restorers: tuple[Restorer, ...]
    witness: LivingWitness | None = None
