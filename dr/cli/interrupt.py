"""Ctrl-C, and SIGTERM as Kubernetes sends it to a Job: the first asks for a stop after what is under way, which is then journalled; the
second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """For the time of the block: whether somebody asked to stop. Outside the main thread nobody can."""
    asked = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        click.echo("dr: stopping after the running step; once more stops at once", err=True)

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, old in before.items():
            signal.signal(number, old)
