"""Apply a saved plan in a process that dies where it is told: `python -m tests.lab.killed_restore PLAN ACTION FIRST [NAMES]`.

ACTION: `none` (prints every write as JSON), `kill-before` or `kill-after` the FIRST-th write of the restore journal (of
NAMES, a regular expression), or `wait` there until a line comes on stdin. Settings and strategy come from the environment,
as for `dr` itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dr.app.core import open_app
from dr.app.restores import apply
from dr.model.plans import RestorePlan
from dr.record.codec import decode
from dr.stores.faults import Faults, FaultyStore
from tests.lab.scripted import scripted

JOURNALLED = "restores/.*"


def main(plan: str, action: str, first: str, names: str = JOURNALLED) -> None:
    faults = Faults(scripted(action, "put", names, int(first)))
    app = open_app(None, None, "restore")
    app.wrap_store = lambda store: FaultyStore(store, faults)
    result = apply(app, decode(Path(plan).read_bytes(), RestorePlan, plan))
    writes = [name for operation, name in faults.log if operation in ("put", "put_stream")]
    items = [
        {"state": str(one.restored), "error": str(one.error or ""), "steps": [step.step for step in one.own_steps]}
        for one in result.items
    ]
    print(json.dumps({"items": items, "writes": writes}))


main(*sys.argv[1:])
