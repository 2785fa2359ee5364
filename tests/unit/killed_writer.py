"""Append to a change log in a process that dies where it is told: `python -m tests.unit.killed_writer DIR ACTION OPERATION FIRST`.

Prints the key of each entry after its acknowledgement.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from dr.changelog import Entry, LogWriter
from dr.model.ids import SourceId
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.local import LocalStore
from tests.unit.fakes import T0, FakeClock


def main(directory: str, action: str, operation: str, first: str) -> None:
    faults = Faults((Fault(Action(action), operation, "log/.*", int(first)),))
    vault = FaultyStore(LocalStore(Path(directory)), faults)
    with LogWriter(vault, SourceId("audit", "pubsub", "energent"), FakeClock(), window_s=0.0) as writer:
        for number in range(1, 50):
            at = T0 + timedelta(seconds=number)
            writer.append([Entry(at, f"k{number}", {"n": number})], at).result(5)
            print(f"k{number}", flush=True)


main(*sys.argv[1:])
