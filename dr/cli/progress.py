"""Progress of steps: bars where a person looks, JSON lines with `-o json` elsewhere (on stderr), nothing otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dr.ports import Progress
    from dr.run.tracking import Tracker

Show = Callable[["Progress", float | None], None]
"""An event, and the seconds that are left of the whole; None: not known."""


WHOLE = ("", "")


@dataclass
class Watcher:
    """A listener that says how long it will still take, once it knows what is to be done."""

    show: Show
    tracker: Tracker | None = None

    def __call__(self, event: Progress) -> None:
        self.show(event, self.tracker.note(event) if self.tracker else None)


@contextmanager
def progress(form: str) -> Iterator[Watcher]:
    """A listener for the time of the block."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield Watcher(show)
    else:
        yield Watcher(_json_line if form == "json" else _nothing)


def _nothing(_event: Progress, _left: float | None) -> None:
    """For logs: the result says it all."""


def _json_line(event: Progress, left: float | None) -> None:
    line = {
        "kind": "Progress",
        "unit": event.unit,
        "step": event.step,
        "state": event.state,
        "done": event.done,
        "total": event.total,
        "measure": event.measure,
        "elapsed_s": round(event.elapsed.total_seconds(), 3),
        **({} if left is None else {"left_s": round(left, 1)}),
    }
    # one write, so that lines of several threads do not mix
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Show]:
    from rich import progress as rich_progress
    from rich.console import Console

    from dr.report.words import span

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.fields[note]}"),
        rich_progress.TimeElapsedColumn(),
    )
    tasks: dict[tuple[str, str], rich_progress.TaskID] = {}
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(event: Progress, left: float | None) -> None:
            key = (event.unit, event.step)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{event.unit.partition('@')[0]} {event.step}", total=event.total, note="")
            note = f"{event.done:,.0f} {event.measure}" if event.measure else event.state
            finished = event.state == "done"
            total = event.total or (1 if finished else None)
            bars.update(tasks[key], completed=total if finished else event.done, total=total, note=note)
            if left is not None:
                if WHOLE not in tasks:
                    tasks[WHOLE] = bars.add_task("all", total=None, note="")
                bars.update(tasks[WHOLE], note=f"about {span(left)} left")

        yield show
