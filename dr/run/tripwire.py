"""The tripwire of a drill: each restored item proves that it reached nothing outside, before it is torn down."""

from __future__ import annotations

from collections.abc import Iterable

from dr.errors import DrError
from dr.model.evidence import TRIPWIRE
from dr.model.points import Check
from dr.ports import Guarded
from dr.run.restore import ItemResult


def tripped(result: ItemResult) -> tuple[Check, ...]:
    """What cannot be looked at is not proven: a failed check."""
    restorer = result.item.restorer
    if not isinstance(restorer, Guarded):
        return ()
    try:
        return restorer.reached(result.work, result.outcomes)
    except DrError as error:
        return (Check(f"{TRIPWIRE}{result.item.key}", False, f"could not be looked at: {error.message}"),)


def is_tripwire(check: Check) -> bool:
    return check.name.startswith(TRIPWIRE)


def apart(checks: Iterable[Check]) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """Those of the tripwire, and those of the teardown."""
    found = tuple(checks)
    return tuple(filter(is_tripwire, found)), tuple(one for one in found if not is_tripwire(one))
