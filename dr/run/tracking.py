"""How much of a restore is left, from what its steps tell while they run."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from dr.model.plans import RestorePlan
from dr.plan.outlook import Running, planned_graph, remaining
from dr.ports import Progress


class Tracker:
    """Hears every event of one plan. Thread-safe: steps run side by side."""

    def __init__(self, plan: RestorePlan, done: Mapping[str, float]) -> None:
        """`done`: steps that an earlier process journalled, and their seconds."""
        self._graph = planned_graph(plan)
        self._done = dict(done)
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()

    def note(self, event: Progress) -> float | None:
        """Seconds that are left by now; None when nothing is known of what is left."""
        with self._lock:
            self._take(event)
            return remaining(self._graph, self._done, self._running)

    def _take(self, event: Progress) -> None:
        elapsed = event.elapsed.total_seconds()
        if event.state == "done":
            self._done[event.step] = elapsed
            self._running.pop(event.step, None)
        elif event.state == "failed":
            self._running.pop(event.step, None)
        else:
            share = event.done / event.total if event.total else None
            self._running[event.step] = Running(elapsed, share)
