"""One session of following: pulls go out, entries go into the log, acknowledgements come after."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from dr.changelog import Entry, Head, LogReader, LogWriter
from dr.components.audit.access import PubsubApi, PubsubOptions, living
from dr.components.audit.entry import Poison, quarantine_body, quarantine_entry, quarantine_name, read_message
from dr.components.audit.leases import Leases
from dr.components.audit.seen import Seen
from dr.errors import CONFLICT, TIMED_OUT, DrError
from dr.model.ids import SourceId
from dr.ports import Clock, Notice, ObjectInfo, ObjectStore
from dr.vendors.pubsub import Message, Pulled

OUTSTANDING = 4
PULL_MESSAGES = 500
HELD_MESSAGES, HELD_BYTES = 20_000, 64 << 20
"""More than this in the making: nothing is asked for."""
BEHIND = timedelta(seconds=5)
"""Older than this when it arrives: a backlog is being worked off, and the watermark stays at the entry's publishing."""
QUIET = timedelta(seconds=2)
RETRY_S = 1.0
_QUARANTINERS = 8


@dataclass(frozen=True, slots=True)
class _Answer:
    """Of one pull; `arrived` by our clock."""

    arrived: datetime
    pulled: Pulled | DrError


@dataclass(frozen=True, slots=True)
class _Probe:
    """Pub/Sub answered a question that was asked at `asked`."""

    asked: datetime
    error: DrError | None


@dataclass(frozen=True, slots=True)
class _Durable:
    """Entries that are in the vault now."""

    entries: Sequence[Entry]


_Event = _Answer | _Probe | _Durable


class Intake:
    """A context manager; `step` does a little at a time. Everything is decided on the caller's thread; others only bring events.

    Raises DrError: temporary ones mean that a new session may go on, FENCED that another writer does.
    """

    def __init__(
        self,
        api: PubsubApi,
        options: PubsubOptions,
        source: SourceId,
        clock: Clock,
        vault: ObjectStore,
        notice: Callable[[Notice], None],
    ) -> None:
        self._api, self._options, self._source = api, options, source
        self._clock, self._vault, self._notice = clock, vault, notice
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._pulls: set[int] = set()
        self._cancels: dict[int, Callable[[], None]] = {}
        self._number = 0
        self._pause_until: datetime | None = None
        self._probing = False
        self._stack = ExitStack()
        self._began = self._last_old = clock.now()
        """The session; and when the last new entry arrived that had been published before it."""
        self.failing: tuple[datetime, DrError] | None = None
        """Since when Pub/Sub does not answer, and what is known of it."""
        self._closing = False

    def __enter__(self) -> Intake:
        found = living(self._api, self._options)
        with ExitStack() as stack:
            deadline_s = found.ack_deadline.total_seconds()
            self._leases = stack.enter_context(Leases(self._api, self._options.path, deadline_s))
            self._writer = stack.enter_context(LogWriter(self._vault, self._source, self._clock))
            self._seen = Seen(LogReader(self._vault, self._source), self._writer.newest)
            self._pool = stack.enter_context(ThreadPoolExecutor(_QUARANTINERS, thread_name_prefix="quarantine"))
            self._appended = self._clock.now()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was taken is durable and acknowledged; what only arrived is given back."""
        self._closing = True
        for cancel in list(self._cancels.values()):
            cancel()
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, _Answer) and not isinstance(event.pulled, DrError):
                self._leases.give_back([message.ack_id for message in event.pulled])
        self._stack.__exit__(kind, error, trace)

    @property
    def watermark(self) -> datetime | None:
        """Of what is durable."""
        return self._writer.head.watermark

    @property
    def caught_up(self) -> bool:
        """For a while nothing came that is older than the session: Pub/Sub does not say more of its backlog."""
        return self._clock.now() - self._last_old > QUIET

    def step(self, wait_s: float = 0.2) -> None:
        """Ask, wait a little for what comes, deal with it."""
        self._ask()
        with suppress(queue.Empty):
            self._deal_with(self._events.get(timeout=wait_s))
        self._leases.require_sound()
        if self._writer.broken:
            raise self._writer.broken
        self._beat()

    def _deal_with(self, event: _Event) -> None:
        if isinstance(event, _Durable):
            for entry in event.entries:
                self._seen.durable(entry.at, entry.key)
        elif isinstance(event, _Probe):
            self._probed(event)
        elif isinstance(event.pulled, DrError):
            self._failed(event.pulled)
        else:
            self._heard()
            if event.pulled:
                self._take(event.pulled, event.arrived)

    # --- asking

    def _ask(self) -> None:
        if self._pausing():
            return
        messages, size = self._leases.load
        while len(self._pulls) < OUTSTANDING and messages < HELD_MESSAGES and size < HELD_BYTES:
            self._number += 1
            self._pull(self._number)

    def _pausing(self) -> bool:
        return self._pause_until is not None and self._clock.now() < self._pause_until

    def _pull(self, number: int) -> None:
        def answered(pulled: Pulled | DrError) -> None:
            self._pulls.discard(number)
            self._cancels.pop(number, None)
            if self._closing and not isinstance(pulled, DrError):
                self._leases.give_back([message.ack_id for message in pulled])
            else:
                self._events.put(_Answer(self._clock.now(), pulled))

        self._pulls.add(number)
        cancel = self._api.pull(self._options.path, PULL_MESSAGES, answered)
        if number in self._pulls:
            self._cancels[number] = cancel

    def _failed(self, error: DrError) -> None:
        """A pull that failed for a time is made again a little later; one that nothing was heard of proves nothing."""
        if error.kind is TIMED_OUT:
            return
        if not error.temporary:
            raise error
        now = self._clock.now()
        self.failing = (self.failing[0] if self.failing else now, error)
        self._pause_until = now + timedelta(seconds=RETRY_S)

    def _heard(self) -> None:
        if self.failing:
            self.failing = self._pause_until = None
            self._notice(Notice(self._source, "reconnected"))

    # --- taking

    def _take(self, messages: Pulled, arrived: datetime) -> None:
        self._leases.hold(messages)
        read = [read_message(message) for message in messages]
        poison = self._quarantined([one for one in read if isinstance(one, Poison)])
        fresh: list[Entry] = []
        oldest: datetime | None = None
        for message, one in zip(messages, read, strict=True):
            entry = poison[message.ack_id] if isinstance(one, Poison) else one
            if self._seen.add(entry.at, entry.key):
                fresh.append(entry)
                oldest = min(oldest or message.published, message.published)
        if oldest and oldest <= self._began:
            self._last_old = arrived
        self._tell_of(len(messages) - len(fresh), len(poison))
        # what was seen before was appended before: it is durable when this is
        future = (
            self._writer.append(fresh, self._watermark(fresh, oldest, arrived)) if fresh else self._writer.barrier()
        )
        self._appended = arrived if fresh else self._appended
        future.add_done_callback(lambda done: self._stored(done, messages, fresh, oldest))

    def _watermark(self, fresh: Sequence[Entry], oldest: datetime | None, arrived: datetime) -> datetime:
        """Up to when nothing that Pub/Sub handed over is missing once these are durable. While a backlog is worked off, what
        is being delivered says how far it is. The clocks of those who log may be ahead of ours a little."""
        if oldest and (arrived - oldest > BEHIND or not self.caught_up):
            return oldest
        return max((entry.at for entry in fresh if arrived < entry.at <= arrived + BEHIND), default=arrived)

    def _tell_of(self, repeated: int, poison: int) -> None:
        if repeated:
            self._notice(Notice(self._source, "repeated", repeated))
        if poison:
            self._notice(Notice(self._source, "quarantined", poison))

    def _stored(
        self, done: Future[Head], messages: Sequence[Message], fresh: Sequence[Entry], oldest: datetime | None
    ) -> None:
        """On the writer's thread, when all of an answer is durable; what is not comes again."""
        if done.exception():
            return
        self._leases.done([message.ack_id for message in messages])
        if fresh and oldest:
            self._events.put(_Durable(fresh))
            lag_s = max(0.0, (self._clock.now() - oldest).total_seconds())
            self._notice(Notice(self._source, "durable", len(fresh), lag_s))

    def _quarantined(self, poison: Sequence[Poison]) -> dict[str, Entry]:
        """By ack id, the entries that say so; the objects are durable when this returns."""
        stored = self._pool.map(self._quarantine, poison)
        return {one.message.ack_id: entry for one, entry in zip(poison, stored, strict=True)}

    def _quarantine(self, poison: Poison) -> Entry:
        name = quarantine_name(f"{self._source.kind}.{self._source.name}", poison)
        body = quarantine_body(str(self._source), poison)
        info, body = self._kept(name, body)
        self._writer.lock(info)
        return quarantine_entry(name, body, poison)

    def _kept(self, name: str, body: bytes) -> tuple[ObjectInfo, bytes]:
        """What stands there already, put by another version of us before it died, is as good."""
        try:
            return self._vault.put(name, body), body
        except DrError as error:
            found = self._vault.stat(name) if error.kind is CONFLICT else None
            if found is None:
                raise
            return found, self._vault.get(name, generation=found.generation)

    # --- signs of life

    def _beat(self) -> None:
        """An idle log says so, once Pub/Sub has answered that nothing else is there."""
        now = self._clock.now()
        if self._probing or self._pausing() or not self._pulls or now - self._appended < self._options.heartbeat:
            return
        self.probe()

    def probe(self) -> None:
        """Ask Pub/Sub whether it is there; its answer moves the watermark."""
        if self._probing:
            return
        self._probing = True
        self._pool.submit(self._ask_probe, self._clock.now())

    def _ask_probe(self, asked: datetime) -> None:
        try:
            living(self._api, self._options)
            self._events.put(_Probe(asked, None))
        except DrError as error:
            self._events.put(_Probe(asked, error))

    def _probed(self, probe: _Probe) -> None:
        self._probing = False
        if probe.error:
            self._failed(probe.error)
            return
        self._heard()
        self._appended = self._clock.now()
        self._writer.append((), probe.asked)
