"""`dr run`, wired."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dr.app.captures import capture, due_now
from dr.app.core import App
from dr.plan.due import DueSlot
from dr.record.freeze import frozen
from dr.run.service import ServiceParts


def service_parts(app: App) -> ServiceParts:
    """Every look at what is due reads the journal and the vaults anew: the process remembers nothing."""
    app.specs()
    return ServiceParts(due=partial(due_unless_frozen, app), capture=partial(capture, app))


def due_unless_frozen(app: App) -> Sequence[DueSlot]:
    """Nothing is due of a wreck; captures under way end as they would."""
    return () if frozen(app.control) else due_now(app)
