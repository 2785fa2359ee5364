"""What a change log covers once it has passed an instant that somebody asks for."""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.app.core import App
from dr.changelog import LogReader
from dr.model.points import Coverage
from dr.model.strategy import SourceSpec
from dr.plan.modes import MODES
from dr.plan.status import GRACE, allowed_age

LOOK_S = 0.25


def settled_coverage(app: App, spec: SourceSpec, requested: datetime) -> tuple[Coverage, ...]:
    """As `App.coverage`. A follower that lives is a heartbeat behind, so the moment before a disaster is waited for; one that
    has been silent for longer than it may be is not."""
    mode = MODES.get(spec.id.kind)
    row = app.strategy.objective(spec.id.component)
    if mode and mode.log and row:
        patience, vault = allowed_age(row, spec) - GRACE, app.vault(spec.id.component)
        while may_come(LogReader(vault, spec.id).head().watermark, requested, app.clock.now(), patience):
            app.clock.sleep(LOOK_S)
    return app.coverage(spec)


def may_come(watermark: datetime | None, requested: datetime, now: datetime, patience: timedelta) -> bool:
    """Whether the log will soon have passed the instant."""
    return watermark is not None and watermark < requested <= now and now - watermark <= patience
