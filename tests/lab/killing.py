"""kill -9 of a capture before and after each write of its journal and its manifest, then a second run: one point."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dr.model.ids import Slot, SourceId
from tests.lab.command import Dr

JOURNALLED = re.compile(r"runs/.*|points/.*")
SIGKILLED = -9


@dataclass(frozen=True, slots=True)
class Trial:
    """One kill: which write, on which side of it, and the slot that it hits."""

    slot: Slot
    action: str
    index: int


def trials(dr: Dr, source: SourceId) -> list[Trial]:
    """Two for each journalled write of an undisturbed capture, which is made first to enumerate them."""
    first = Slot(source, datetime.now(UTC).replace(microsecond=0) - timedelta(days=1))
    count = len([name for name in captured(dr, first)["writes"] if JOURNALLED.fullmatch(str(name))])
    assert count >= 6, "claim, steps, manifest and end are journalled"
    both = [(action, index) for index in range(count) for action in ("kill-before", "kill-after")]
    return [Trial(Slot(source, first.due + timedelta(seconds=n)), *trial) for n, trial in enumerate(both, 1)]


def captured(dr: Dr, slot: Slot) -> dict[str, list[str]]:
    """An undisturbed run of that slot."""
    answer = dr.module("tests.lab.killed_capture", slot.id, "none", "0")
    assert answer.code == 0, answer.err[-1500:]
    result: dict[str, list[str]] = json.loads(answer.out.splitlines()[-1])
    return result


def kill_and_run_again(dr: Dr, trial: Trial) -> None:
    """The process must really have died; the second run must leave the slot with its point."""
    killed = dr.module("tests.lab.killed_capture", trial.slot.id, trial.action, str(trial.index))
    assert killed.code == SIGKILLED, killed
    assert captured(dr, trial.slot)["captured"] in ("committed", "already"), trial


def points_of(dr: Dr, source: SourceId) -> dict[str, dict[str, object]]:
    """By slot, freshly listed; every slot has one manifest by its name, so count what names it."""
    items = dr.fine("points", "list", "--fresh", "-o", "json").items
    mine = [item for item in items if item["source"] == str(source)]
    assert len({item["slot"] for item in mine}) == len(mine)
    return {str(item["slot"]): item for item in mine}
