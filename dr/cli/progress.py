"""Progress of steps: bars where a person looks, JSON lines with `-o json` elsewhere (on stderr), nothing otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dr.ports import Listener, Progress


@contextmanager
def progress(form: str) -> Iterator[Listener]:
    """A listener for the time of the block."""
    if sys.stderr.isatty():
        with _bars() as listener:
            yield listener
    elif form == "json":
        yield _json_line
    else:
        yield _nothing


def _nothing(_event: Progress) -> None:
    """For logs: the result says it all."""


def _json_line(event: Progress) -> None:
    line = {
        "kind": "Progress",
        "unit": event.unit,
        "step": event.step,
        "state": event.state,
        "done": event.done,
        "total": event.total,
        "measure": event.measure,
        "elapsed_s": round(event.elapsed.total_seconds(), 3),
    }
    # one write, so that lines of several threads do not mix
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Listener]:
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.fields[note]}"),
        rich_progress.TimeElapsedColumn(),
    )
    tasks: dict[tuple[str, str], rich_progress.TaskID] = {}
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def listen(event: Progress) -> None:
            key = (event.unit, event.step)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{event.unit.partition('@')[0]} {event.step}", total=event.total, note="")
            note = f"{event.done:,.0f} {event.measure}" if event.measure else event.state
            finished = event.state == "done"
            total = event.total or (1 if finished else None)
            bars.update(tasks[key], completed=total if finished else event.done, total=total, note=note)

        yield listen
