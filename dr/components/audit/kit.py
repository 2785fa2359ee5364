"""The audit component, wired."""

from __future__ import annotations

from dr.components.audit.access import LOG, PACK
from dr.components.audit.covering import coverage_of
from dr.components.audit.follower import AuditFollower
from dr.components.audit.inspector import AuditPackInspector
from dr.components.audit.living import LivingLog
from dr.components.audit.ready import check_ready
from dr.components.audit.restoring import AuditRestorer
from dr.components.audit.source import AuditSource
from dr.components.wiring import Kit, Wiring
from dr.vendors.entries import LogEntries
from dr.vendors.projects import missing_on_project
from dr.vendors.pubsub import Pubsub
from dr.vendors.sinks import Sinks


def kit(wiring: Wiring) -> Kit:
    """Nothing is contacted before the first call."""
    api, sinks, clock = Pubsub(wiring.google), Sinks(wiring.google), wiring.clock
    folder = wiring.settings.cache_dir / "restored"
    return Kit(
        source=lambda spec: AuditSource(spec, api, sinks, clock),
        inspectors=(AuditPackInspector(),),
        restorers=tuple(AuditRestorer(method, wiring.open_store, folder) for method in (LOG, PACK)),
        witness=LivingLog(LogEntries(wiring.google), sinks),
        ready=lambda spec: check_ready(spec, lambda *asked: missing_on_project(wiring.google, *asked), sinks),
        follower=lambda spec: AuditFollower(spec, api, clock),
        coverage=coverage_of,
    )
