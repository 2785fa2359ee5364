"""What captures, imports and clones cost, each with its arithmetic in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dr.plan.prices import GIB, MONTH_HOURS, Prices


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars, and the sum in words."""

    usd: float
    arithmetic: str

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.usd + other.usd, f"{self.arithmetic} + {other.arithmetic}")


def dollars(usd: float) -> str:
    """`$12.34`; small sums keep two significant digits, so that a cost never reads as nothing."""
    if usd == 0 or usd >= 0.01:
        return f"${usd:,.2f}"
    return f"${usd:.2g}" if usd >= 0.0001 else "< $0.0001"


def export_cost(documents: int, prices: Prices) -> Cost:
    """One full export: one read billed for each document."""
    price = prices.firestore_read_million
    label = prices.label("firestore_read_million")
    return Cost(documents * price / 1e6, f"{documents:,} documents x {price:g} $/M reads ({label})")


def import_cost(documents: int, prices: Prices) -> Cost:
    """One import: one write billed for each document."""
    price = prices.firestore_write_million
    label = prices.label("firestore_write_million")
    return Cost(documents * price / 1e6, f"{documents:,} documents x {price:g} $/M writes ({label})")


def clone_cost(size: int, prices: Prices) -> Cost:
    """One clone of a database of `size` bytes."""
    price = prices.firestore_restore_gib
    return Cost(
        size / GIB * price, f"{size / GIB:,.3g} GiB x {price:g} $/GiB ({prices.label('firestore_restore_gib')})"
    )


def pitr_month_cost(size: int, prices: Prices) -> Cost:
    """Keeping point-in-time history of `size` bytes for a month."""
    price = prices.firestore_pitr_gib_hour
    words = f"{size / GIB:,.3g} GiB x {MONTH_HOURS} h x {price:g} $/GiB-h ({prices.label('firestore_pitr_gib_hour')})"
    return Cost(size / GIB * MONTH_HOURS * price, words)


def captures_per_month(cadence: timedelta) -> float:
    """How many captures a cadence makes in a month."""
    return timedelta(hours=MONTH_HOURS) / cadence


def month_of_captures(once: Cost, cadence: timedelta) -> Cost:
    """A month of captures that cost `once` each."""
    times = captures_per_month(cadence)
    return Cost(once.usd * times, f"{times:,.0f} captures a month x {dollars(once.usd)} ({once.arithmetic})")
