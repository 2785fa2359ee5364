"""What a restore will do to the world, as it stood when the plan was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Review:
    """Of one item of a plan. Texts name one thing each, so that they can be counted."""

    creates: Mapping[str, int] = field(default_factory=dict)
    """Kind -> how many are made."""
    changes: tuple[str, ...] = ()
    """Living things that are written over."""
    deletes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """What is not there any more afterwards, or not in the copy."""
    conflicts: tuple[str, ...] = ()
    """Living things that stand in the way, and why."""
    skipped: tuple[str, ...] = ()
    """What the point has and the restore will leave out without a failure, and why."""
    world: Mapping[str, str] = field(default_factory=dict)
    """What was read of the living world -> its version then; `absent` for what must not exist. If it differs when the plan is
    applied, the review is no longer true."""


ABSENT = "absent"
