"""`dr run` in a process to which something happens: `python -m tests.lab.faulty_service ACTION OPERATION NAMES FIRST`.

ACTION at the FIRST-th such operation on objects whose names match: `stop` (SIGSTOP of itself), `kill-before`, `kill-after`.
Settings and strategy come from the environment, as for `dr` itself.
"""

from __future__ import annotations

import os
import signal
import sys

from dr.app.core import open_app
from dr.app.service import service_parts
from dr.run.service import Service
from dr.stores.faults import Action, Fault, Faults, FaultyStore


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def main(action: str, operation: str, names: str, first: str) -> None:
    if action == "stop":
        fault = Fault(Action.CALL, operation, names, int(first), call=stop_self)
    else:
        fault = Fault(Action(action), operation, names, int(first))
    faults = Faults((fault,))
    app = open_app(None, None, "capture")
    app.wrap_store = lambda store: FaultyStore(store, faults)
    service = Service(service_parts(app), 0.5)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    sys.exit(service.run())


main(*sys.argv[1:])
