"""Run a drill in a process that dies where it is told: `python -m tests.lab.killed_drill SCENARIO NAMES`: kill -9 before the
first write of the drill journal of NAMES, a regular expression. Settings and strategy come from the environment."""

from __future__ import annotations

import sys

from dr.app.core import open_app
from dr.app.drills import run_drill
from dr.scenarios import load_scenario
from dr.stores.faults import Faults, FaultyStore
from tests.lab.scripted import scripted


def main(scenario: str, names: str) -> None:
    faults = Faults(scripted("kill-before", "put", names, 0))
    app = open_app(None, None, "restore")
    app.wrap_store = lambda store: FaultyStore(store, faults)
    run_drill(app, load_scenario(scenario))


main(*sys.argv[1:])
