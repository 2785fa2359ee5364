"""Processes that can't outlive their lab: tied to the supervisor, marked with the lab's id, swept by a guard."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from lab.state import processes

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

KEEP, SWEEP = b"k", b"s"
"""What a supervisor that ends in an orderly way tells its guard about the lab's directory."""


def die_with_parent() -> None:
    """For the child, between fork and exec: the kernel kills it when the *thread* that forked it ends, so fork from a
    thread that lives as long as the supervisor."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_all(lab_id: str, spare: tuple[int, ...] = (), deadline_s: float = 10) -> tuple[int, ...]:
    """SIGKILL whatever carries the lab's id (plug-ins and pods included), until nothing is left; what refuses to die."""
    deadline = time.monotonic() + deadline_s
    while True:
        left = tuple(pid for pid in processes(lab_id) if pid not in spare)
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            _kill(pid)
        time.sleep(0.02)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def remove_directory(directory: Path) -> None:
    """Renamed first, in one step: a new lab may be made at the same place while the old files go."""
    grave = directory.with_name(f"{directory.name}.gone-{os.getpid()}")
    try:
        directory.rename(grave)
    except FileNotFoundError:
        return
    shutil.rmtree(grave, ignore_errors=True)


def start_guard(directory: Path, lab_id: str) -> tuple[int, int]:
    """Fork a process that sleeps until the supervisor ends, however it ends; (its pid, pipe to tell it KEEP or SWEEP).

    PDEATHSIG reaches direct children only: Velero's plug-in would survive a SIGKILL of the supervisor, and so would
    the files. Call before there are threads.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(read)
        return pid, write
    os.close(write)
    _stand_guard(read, directory, lab_id)
    os._exit(0)


def _stand_guard(pipe: int, directory: Path, lab_id: str) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    word = os.read(pipe, 1)
    left = kill_all(lab_id)
    if left:
        print(f"these processes of the lab refuse to die: {left}", file=sys.stderr)
    if word != KEEP:
        remove_directory(directory)


def tail(log: Path, start: int = 0, lines: int = 12, most_bytes: int = 20_000) -> str:
    """The last lines of a log, from byte `start` on."""
    try:
        content = log.read_bytes()[start:][-most_bytes:]
    except FileNotFoundError:
        return ""
    return "\n".join(content.decode(errors="replace").rstrip().splitlines()[-lines:])
