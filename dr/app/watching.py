"""Watching the service, wired: what it tells becomes metrics, pages, messages and a signal of life."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from dr.app.core import App
from dr.app.drillpage import drill_page
from dr.app.looking import Looking
from dr.errors import DrError
from dr.model.ids import SourceId
from dr.plan.tell import BLIND, Condition, Failing, Message, Signs, conditions, withheld
from dr.ports import Notice, Notifier
from dr.record.told import ledger_file
from dr.run.telling import Channel, DeadMan, Heard, Repeating
from dr.serve.metrics import GOOD, Metrics, Watch
from dr.serve.page import Service, status_page
from dr.serve.web import Pages, Server
from dr.vendors.notify import Caller, Slack, Webhook, ping

LOOK_S = 10.0
"""Between two looks at where everything stands."""
TELL_S = 5.0
"""Between two looks at whether there is something to say."""
STOP_S = 2.0
SKEW_EVERY = 6
"""Looks between two comparisons of the clocks."""


class Log(Protocol):
    """As structlog's."""

    def info(self, event: str, **fields: object) -> object: ...

    def error(self, event: str, **fields: object) -> object: ...


@dataclass(slots=True)
class State:
    """What the observer has heard."""

    leads: bool
    started: datetime
    looked: datetime | None = None
    failing: dict[SourceId, Failing] = field(default_factory=dict)


class Watching:
    """An `ports.Observer`; serves and tells between `start` and `stop`, or as a context."""

    def __init__(self, app: App, log: Log) -> None:
        """Raises DrError CONFIGURATION when serve.address cannot be listened on."""
        self._app, self._log = app, log
        self._watch = Watch(app.strategy, lambda: app.clock.now())
        self._metrics = Metrics(self._watch, app.settings.scope)
        self._metrics.know(app.specs())
        self._state = State(leads=not app.settings.lease.name, started=app.clock.now())
        self._metrics.leader.set(self._state.leads)
        self._looking = Looking(app)
        self._looks = 0
        self._troubles: tuple[str, ...] = ()
        self._look = Repeating("watch", self._look_again, self.bug)
        self._channels = list(_channels(app, Heard(self._sent, self._unsent)))
        self._metrics.know_channels(channel.name for channel in self._channels)
        self._deadman = _deadman(app, self._withheld, self._pinged)
        self._threads = [self._look, *map(self._telling, self._channels)]
        if self._deadman:
            self._threads.append(Repeating("deadman", self._deadman.step, self.bug))
        self.server = Server(app.settings.serve_address, self._pages()) if app.settings.serve_address else None

    # --- ports.Observer

    def looked(self, now: datetime) -> None:
        self._state.looked = now
        self._metrics.looked.set(now.timestamp())

    def captured(self, source: SourceId, result: str, seconds: float, code: str) -> None:
        self._metrics.captured(source, result, seconds)
        if result == "failed":
            count = self._state.failing[source].count if source in self._state.failing else 0
            self._state.failing[source] = Failing(count + 1, f"error {code}")
        if result in GOOD:
            self._state.failing.pop(source, None)
            self._looking.listing_is_due()
            self._look.poke()

    def noticed(self, notice: Notice) -> None:
        self._metrics.notice(notice)

    def led(self, leading: bool) -> None:
        self._state.leads = leading
        self._metrics.leader.set(leading)

    def troubled(self, code: str) -> None:
        self._metrics.trouble.labels(code).inc()

    # --- life

    def start(self) -> Watching:
        if self.server:
            self.server.start()
            self._log.info("serving", address=self._app.settings.serve_address, port=self.server.port)
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        for thread in self._threads:
            thread.stop(STOP_S)
        if self.server:
            self.server.stop()

    def __enter__(self) -> Watching:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _telling(self, channel: Channel) -> Repeating:
        return Repeating(f"tell {channel.name}", partial(self._tell, channel), self.bug)

    def bug(self, thread: str, error: Exception) -> None:
        self._metrics.trouble.labels("internal").inc()
        self._log.error("bug", thread=thread, error=str(error) or type(error).__name__, traceback=trace(error))

    # --- looking

    def _look_again(self) -> float:
        self._watch.overview, silent = self._looking.look()
        self._metrics.refreshes.labels("partial" if silent else "whole").inc()
        self._told_trouble(silent)
        if self._looks % SKEW_EVERY == 0:
            self._compare_clocks()
        self._looks += 1
        return LOOK_S

    def _told_trouble(self, trouble: tuple[str, ...]) -> None:
        """Each once: what does not answer for a day is not told eight thousand times."""
        for sentence in trouble:
            if sentence not in self._troubles:
                self._log.error("not asked", error=sentence)
        self._troubles = trouble

    def _compare_clocks(self) -> None:
        """The machine's own clock, not the one that follows the store's."""
        try:
            theirs = self._app.control.server_time()
        except DrError:
            return  # the look at the stores says so already
        if theirs is not None:
            self._watch.skew_s = {"control": (datetime.now(UTC) - theirs).total_seconds()}

    # --- telling

    def _wrong(self, now: datetime) -> tuple[Condition, ...]:
        return conditions(self._watch.overview, dict(self._state.failing), now, self._state.started)

    def _tell(self, channel: Channel) -> float:
        """Only the leader tells: two replicas that see the same would say it twice."""
        if self._state.leads:
            now = self._app.clock.now()
            channel.step(self._wrong(now), now)
        return channel.pause_s or TELL_S

    def _sent(self, channel: str, message: Message) -> None:
        self._metrics.sent.labels(channel).inc()
        self._log.info("told", channel=channel, severity=str(message.severity), title=message.title)

    def _unsent(self, channel: str, error: DrError) -> None:
        self._metrics.unsent.labels(channel).inc()
        self._log.error("not told", channel=channel, error=error.message, code=error.kind.code)

    def _withheld(self) -> str:
        signs = Signs(self._state.leads, self._state.looked, self._watch.overview)
        return withheld(signs, self._app.clock.now())

    def _pinged(self, error: DrError | None) -> None:
        self._metrics.pings.labels("failed" if error else "ok").inc()
        if error:
            self._log.error("no signal of life", error=error.message, code=error.kind.code)
        else:
            self._metrics.pinged.set(self._app.clock.now().timestamp())

    # --- serving

    def _pages(self) -> Pages:
        return Pages(self.status_page, self.metrics, self._unready, self._drill_page)

    def metrics(self) -> bytes:
        """What /metrics answers."""
        return self._metrics.text()

    def status_page(self) -> str:
        scope, now = self._app.settings.scope, self._app.clock.now()
        return status_page(self._app.strategy, scope, self._watch.overview, tuple(self._service()), now)

    def _service(self) -> Iterable[Service]:
        yield Service("Lead", "this replica does the work" if self._state.leads else "another replica does the work")
        for source, failing in sorted(self._state.failing.items()):
            yield Service("Capture", f"{source} failed {failing.count} times in a row: {failing.message}", good=False)
        for channel in self._channels:
            failure = channel.ledger.failure
            yield Service(channel.name, failure.message if failure else "takes messages", good=failure is None)
        if self._deadman:
            reason = self._deadman.reason
            yield Service("Signal of life", f"withheld: {reason}" if reason else "given", good=not reason)

    def _unready(self) -> str:
        overview = self._watch.overview
        if overview is None:
            return "the stores have not answered yet"
        old = self._app.clock.now() - overview.listed >= BLIND
        return "the stores were not asked for too long" if old else ""

    def _drill_page(self, drill: str) -> str | None:
        """Only of drills that were listed: nobody makes this service read or draw what does not exist."""
        return drill_page(self._app, drill) if self._looking.knows_drill(drill) else None


def trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _channels(app: App, heard: Heard) -> Iterable[Channel]:
    tell, caller = app.settings.tell, Caller(app.settings.ca_file)
    found: list[tuple[str, Notifier]] = []
    if tell.webhook:
        found.append(("webhook", Webhook(tell.webhook, app.settings.scope, caller)))
    if tell.slack:
        found.append(("slack", Slack(tell.slack, app.settings.scope, caller)))
    return (Channel(name, notifier, ledger_file(app.settings.cache_dir, name), heard) for name, notifier in found)


def _deadman(app: App, why_not: Callable[[], str], pinged: Callable[[DrError | None], None]) -> DeadMan | None:
    url, every = app.settings.tell.deadman_url, app.settings.tell.deadman_every
    if not url:
        return None
    return DeadMan(partial(ping, url, Caller(app.settings.ca_file)), why_not, every.total_seconds(), pinged)
