"""One cluster capture under which the API server dies and comes back: `python -m tests.cluster.restarted_apiserver LAB SLOT
WRITE`. It is killed before the WRITE-th write of the run journal, and started again once the capture has met its absence."""

from __future__ import annotations

import json
import sys
import threading
import time

from dr.app.captures import capture
from dr.app.core import open_app
from dr.model.ids import Slot
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from lab.state import Lab

AWAY_S = 2.0
"""Longer than the client's first repetitions, so that they meet nobody."""


def main(lab: str, slot: str, write: str) -> None:
    found = Lab.load(lab)
    back: list[threading.Thread] = []

    def strike() -> None:
        found.ask({"op": "kill", "part": "apiserver", "signal": "KILL"})
        back.append(threading.Thread(target=revive, args=(found,)))
        back[-1].start()

    faults = Faults((Fault(Action.CALL, "put", "runs/.*", int(write), call=strike),))
    app = open_app(None, None, "capture")
    app.wrap_store = lambda store: FaultyStore(store, faults)
    result = capture(app, Slot.parse(slot))
    for thread in back:
        thread.join()
    print(json.dumps({"captured": str(result.captured), "struck": len(back), "error": str(result.error)}))


def revive(lab: Lab) -> None:
    time.sleep(AWAY_S)
    lab.ask({"op": "start", "part": "apiserver"})


main(*sys.argv[1:])
