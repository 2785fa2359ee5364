"""`dr run`, wired."""

from __future__ import annotations

from functools import partial

from dr.app.captures import capture, due_now
from dr.app.core import App
from dr.run.service import ServiceParts


def service_parts(app: App) -> ServiceParts:
    """Every look at what is due reads the journal and the vaults anew: the process remembers nothing."""
    app.specs()
    return ServiceParts(due=partial(due_now, app), capture=partial(capture, app))
