"""Run one capture in a process that dies where it is told: `python -m tests.lab.killed_capture SLOT ACTION FIRST`.

ACTION: `none` (prints every write as JSON), `kill-before` or `kill-after` the FIRST-th write of the run journal or manifest,
or `wait` before it until a line comes on stdin.
Settings and strategy come from the environment, as for `dr` itself.
"""

from __future__ import annotations

import json
import sys

from dr.app.captures import capture
from dr.app.core import open_app
from dr.model.ids import Slot
from dr.stores.faults import Faults, FaultyStore
from tests.lab.scripted import scripted

JOURNALLED = "runs/.*|points/.*"
WRITES = "put|put_stream"


def main(slot: str, action: str, first: str) -> None:
    faults = Faults(scripted(action, WRITES, JOURNALLED, int(first)))
    app = open_app(None, None, "capture")
    app.wrap_store = lambda store: FaultyStore(store, faults)
    result = capture(app, Slot.parse(slot))
    writes = [name for operation, name in faults.log if operation in ("put", "put_stream")]
    print(json.dumps({"captured": str(result.captured), "error": str(result.error), "writes": writes}))


main(*sys.argv[1:])
