"""Namespaces of erased tenants: they stay out of every restore, and a plan that is older than an erasure is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dr.errors import RESTORE_FAILED, DrError
from dr.model.erasure import Erasure
from dr.model.points import Check
from dr.plan.erasure import erased_tenants
from dr.ports import Json, StepContext

Ledger = Callable[[], Sequence[Erasure]]
"""Reads the ledger anew."""
STEP = "erase"


def erased_among(namespaces: Sequence[str], tenants: Mapping[str, str], ledger: Sequence[Erasure]) -> tuple[str, ...]:
    """Those of erased tenants. `tenants`: namespace -> tenant, by the labels that they had."""
    erased = erased_tenants(ledger)
    return tuple(name for name in namespaces if tenants.get(name) in erased)


@dataclass(frozen=True, slots=True)
class Unerased:
    """Of one restore: what it brings back, against the ledger of this moment. `out`: what the plan left out."""

    ledger: Ledger
    namespaces: Sequence[str]
    tenants: Mapping[str, str]
    out: Sequence[str]

    def _still(self) -> tuple[str, ...]:
        return erased_among(self.namespaces, self.tenants, self.ledger())

    def run(self, _context: StepContext) -> Json:
        """Before anything is restored. Raises DrError RESTORE_FAILED: what to leave out is a part of the plan."""
        if still := self._still():
            text = f"{len(still)} namespaces of the plan belong to tenants that were erased since it was made"
            raise DrError(RESTORE_FAILED, text, hint="plan anew: `dr restore plan`")
        return {"left_out": len(self.out)}

    def check(self) -> Check:
        """Told by count, never by name."""
        still = self._still()
        words = f"{len(self.out)} namespaces of erased tenants stayed out"
        return Check(
            "erased subjects", not still, f"{len(still)} namespaces of erased tenants are in it" if still else words
        )
