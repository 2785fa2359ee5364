"""`dr run`, wired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.app.captures import agenda_now, capture, look_back
from dr.app.core import App
from dr.errors import DrError
from dr.model.ids import SourceId
from dr.model.strategy import SourceSpec
from dr.plan.due import Agenda, DueSlot
from dr.ports import Leader, Notice, Observer
from dr.record.freeze import frozen
from dr.run.clock import SteadyClock
from dr.run.following import Follow
from dr.run.leading import Alone, LeaseLeader, replica_name
from dr.run.runner import CaptureResult
from dr.run.service import Brake, ServiceParts, Unobserved

CORRECT_EVERY_S = 60.0
"""How often the store is asked for its clock."""


def service_parts(
    app: App, observer: Observer | None = None, trouble: Callable[[DrError], None] = lambda _error: None
) -> ServiceParts:
    """Every look at what is due reads the journal and the vaults anew: the process remembers nothing."""
    app.specs()
    # not asked yet: the service begins whether or not its store answers
    clock = app.clock = SteadyClock(app.clock)
    return ServiceParts(
        agenda=partial(_agenda, app, Corrected(app, clock)),
        capture=partial(_capture, app),
        follow=followed(app),
        leader=leader_of(app, trouble),
        observer=observer or Unobserved(),
    )


class Corrected:
    """Sets the clock by the control repository's, now and then. A store that does not answer leaves it as it is."""

    def __init__(self, app: App, clock: SteadyClock) -> None:
        self._app = app
        self._clock = clock
        self._next = float("-inf")

    def __call__(self) -> None:
        now = self._clock.stamp().monotonic
        if now >= self._next:
            self._clock.correct(self._app.control.server_time())
            self._next = now + CORRECT_EVERY_S


def _agenda(app: App, correct: Callable[[], None]) -> Agenda:
    """Nothing is due of a wreck; captures under way end as they would."""
    correct()
    return Agenda(app.clock.now(), (), ()) if frozen(app.control) else agenda_now(app)


def _capture(app: App, due: DueSlot, brake: Brake) -> CaptureResult:
    since = look_back(app, due.schedule)
    return capture(app, due.slot, brake.stop, hurry=brake.hurry, patient=due.schedule.patience, since=since)


def followed(app: App) -> dict[SourceId, Follow]:
    """The sources that are captured continuously."""
    specs = [spec for spec in app.specs() if app.kits[spec.id.component].follower]
    return {spec.id: partial(_follow, app, spec) for spec in specs}


def _follow(app: App, spec: SourceSpec, stop: Callable[[], bool], notice: Callable[[Notice], None]) -> None:
    make = app.kits[spec.id.component].follower
    assert make is not None
    app.prepare(spec.id.component)
    make(spec).follow(app.vault(spec.id.component), stop, notice)


def leader_of(app: App, trouble: Callable[[DrError], None]) -> Leader:
    """Without a Lease in the settings there is no election."""
    lease = app.settings.lease
    if not lease.name:
        return Alone()
    from dr.vendors.kubernetes import Kubernetes
    from dr.vendors.lease import KubernetesLease

    # a client of its own: what waits longer than this for the API server has lost the Lease meanwhile
    kube = Kubernetes(getattr(app.settings.kubernetes, app.role), timeout_s=lease.duration.total_seconds() / 3)
    store = KubernetesLease(kube, lease.namespace, lease.name)
    return LeaseLeader(store, replica_name(), lease.duration, app.clock.now, trouble=trouble)
