"""`python -m benchmarks [NAME...]`: all of them, or some."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "startup",
    "export_reader",
    "catalogue",
    "cluster_backup",
    "config",
    "audit",
    "prune",
    "simulation",
    "service_memory",
    "forecast",
    "planning",
    "steps",
)


def main(names: list[str]) -> None:
    for name in names or NAMES:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
        importlib.import_module(f"benchmarks.{name}").main()


main(sys.argv[1:])
