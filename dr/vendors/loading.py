"""SDKs are imported late, and one at a time: two threads that first import packages which import each other may see one
of them half made."""

from __future__ import annotations

import importlib
import threading

_ONE_AT_A_TIME = threading.RLock()


def preload(*modules: str) -> None:
    """Import them, if they are not yet; every first use of an SDK passes here before its own import statements."""
    with _ONE_AT_A_TIME:
        for module in modules:
            importlib.import_module(module)
