"""From a laptop with nothing but credentials for the buckets."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dr.app.core import App
from dr.model.strategy import Strategy
from dr.record.layout import check_format
from dr.record.used import last_used
from dr.settings import load_settings


def last_files(control: str, environ: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """`strategy.yaml` and `dr.yaml` as captures last used them. Read as the restore identity, or as whoever the environment
    says. Raises DrError NOT_FOUND, NOT_AUTHORISED, UNREACHABLE, DAMAGED, CONFIGURATION."""
    settings = load_settings(
        None, environ if environ is not None else os.environ, {"control": control, "scope": "production"}
    )
    store = App(settings, Strategy("", ()), "restore").store(settings.control)
    check_format(store, "control")
    kept = last_used(store)
    return {"strategy.yaml": kept.strategy, "dr.yaml": kept.settings}
