"""List prices in US dollars: the one table that every estimate reads. A strategy overrides any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

GIB = 1024**3
MONTH_HOURS = 730
"""Hours that a cloud bill counts as a month."""


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of us-central1. `overridden` names those that the strategy replaced: an estimate says whose figure it uses."""

    firestore_read_million: float = 0.30
    firestore_write_million: float = 0.90
    """Recalled, not read from the vendor's page: check it before you rely on it."""
    firestore_restore_gib: float = 0.20
    """Clone, and restore from a Firestore backup."""
    firestore_pitr_gib_hour: float = 0.0002
    firestore_backup_gib_hour: float = 0.00004
    storage_gib_month: float = 0.02
    overridden: tuple[str, ...] = ()

    def label(self, name: str) -> str:
        """Whose figure `name` is."""
        return "the strategy's price" if name in self.overridden else "list price"


PRICE_NAMES = tuple(entry.name for entry in fields(Prices) if entry.name != "overridden")


def prices_from(overrides: Mapping[str, float]) -> Prices:
    """List prices with `overrides` applied. Raises ValueError on an unknown name or a negative price."""
    for name, value in overrides.items():
        if name not in PRICE_NAMES:
            raise ValueError(f"{name!r} is not a price; known: {', '.join(PRICE_NAMES)}")
        if value < 0:
            raise ValueError(f"{name}: a price is not negative")
    return replace(Prices(), **overrides, overridden=tuple(overrides))
