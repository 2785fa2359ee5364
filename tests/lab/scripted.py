"""The faults that a test's process is told of on its command line."""

from __future__ import annotations

import sys

from dr.stores.faults import Action, Fault


def wait() -> None:
    """Say so, and go on when told."""
    print("WAITING", flush=True)
    sys.stdin.readline()


def scripted(action: str, operation: str, names: str, first: int) -> tuple[Fault, ...]:
    """`none`; `wait` for a line on stdin before that operation; else one of `Action`."""
    if action == "none":
        return ()
    if action == "wait":
        return (Fault(Action.CALL, operation, names, first, call=wait),)
    return (Fault(Action(action), operation, names, first),)
