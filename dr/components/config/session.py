"""One life of a follower: the log opened at its end, the cluster listed against it, then every kind watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType

from dr.changelog import Entry, Head, LogWriter
from dr.changelog.seal import Sealer
from dr.components.config.access import SECRETS, ConfigApi, ConfigOptions
from dr.components.config.reading import state_at
from dr.components.config.sealing import SecretBox, box_for
from dr.components.config.state import LOG, RESET, ObjectKey, State
from dr.components.config.tracking import Change, Form, Tracker
from dr.components.config.watching import Watch
from dr.errors import BACKUP_FAILED, CONFIGURATION, DAMAGED, INSTANT_UNREACHABLE, NOT_AUTHORISED, NOT_FOUND, DrError
from dr.model.ids import SourceId
from dr.ports import Clock, Notice, ObjectStore
from dr.vendors.kubernetes_objects import NAMESPACES, KubeObject, Resource, namespace_of

_LISTERS = 8
_REDISCOVER_S = 15.0
"""How often new kinds are looked for: a definition may be installed at any time."""
_TICK_S = 0.2
_JOIN_S = 5.0
_SHORTEST_CALL_S, _LONGEST_CALL_S = 3, 30
"""Of one watch call: an API server sends the bookmark that says how far it is two seconds before the end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session works with."""

    api: ConfigApi
    source: SourceId
    options: ConfigOptions
    vault: ObjectStore
    clock: Clock
    sealer: Sealer | None
    """None: no key is declared."""
    notice: Callable[[Notice], None]


class Session:
    """A context manager: once entered, the log holds all that was there before; left, all that was taken is durable.
    Raises DrError FENCED when another writer continued the log, and every error of the log or of a watch."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._failure: DrError | None = None
        self._threads: list[threading.Thread] = []
        self._watches: dict[str, Watch] = {}
        self._chosen: frozenset[str] = frozenset()
        self._appended = time.monotonic()
        self._marked: datetime | None = None
        """The watermark of what was appended last."""

    def __enter__(self) -> Session:
        parts = self._parts
        self._state, resets = _known(parts)
        self._box, keys = _box(parts, self._state)
        self._writer = LogWriter(parts.vault, parts.source, parts.clock)
        self._marked = self._writer.head.watermark
        self._floor = _latest(parts.clock.now(), self._state.last, self._marked)
        try:
            self._open([*resets, *keys])
        except BaseException:
            with suppress(DrError):
                self._writer.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._halt.set()
        for watch in self._all():
            watch.interrupt()
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._writer.__exit__(kind, error, trace)

    @property
    def head(self) -> Head:
        """Of what is durable."""
        return self._writer.head

    # --- opening

    def _open(self, opening: Sequence[Entry]) -> None:
        """Every kind listed against the log; all differences in one append, so that no instant shows half of them."""
        served = self._parts.api.served()
        self._spaces_tracker = self._tracker(served[str(NAMESPACES)], self._parts.options.chooses)
        self._spaces = self._watch(self._spaces_tracker, self._emit_spaces)
        found: list[Change] = []
        self._spaces.sync(found.extend)
        self._chosen = self._named()
        watches = [self._new(resource) for resource in self._unwatched(served)]
        with ThreadPoolExecutor(_LISTERS, thread_name_prefix="config-list") as pool:
            list(pool.map(lambda watch: watch.sync(found.extend), watches))
        self._watches = {str(watch.resource): watch for watch in watches}
        self._append(found, opening)
        self._writer.flush()
        self._told("opened", f"{len(watches)} kinds in {len(self._chosen)} namespaces, {len(found)} differences")
        self._state = State()  # from here on the trackers know

    def _unwatched(self, served: Mapping[str, Resource]) -> list[Resource]:
        return [served[kind] for kind in self._parts.options.wanted if kind in served and kind not in self._watches]

    def _new(self, resource: Resource) -> Watch:
        covers = self._in_chosen if resource.namespaced else _any
        return self._watch(self._tracker(resource, covers), self._append)

    def _tracker(self, resource: Resource, covers: Callable[[KubeObject], bool]) -> Tracker:
        tracker = Tracker(resource, Form(self._box if str(resource) == SECRETS else None), covers)
        tracker.remember(self._state)
        return tracker

    def _watch(self, tracker: Tracker, emit: Callable[[Sequence[Change]], None]) -> Watch:
        parts = self._parts
        seconds = int(min(max(parts.options.heartbeat.total_seconds(), _SHORTEST_CALL_S), _LONGEST_CALL_S))
        return Watch(parts.api, tracker, emit, self._told, parts.clock, seconds)

    def _in_chosen(self, body: KubeObject) -> bool:
        return namespace_of(body) in self._chosen

    def _named(self) -> frozenset[str]:
        return frozenset(key.name for key in self._spaces_tracker.known)

    # --- following

    def run(self, stop: Callable[[], bool]) -> None:
        """Until `stop()`."""
        for watch in self._all():
            self._start(watch)
        looked = time.monotonic()
        while not stop() and not self._halt.is_set():
            self._require_health()
            if time.monotonic() - self._appended >= self._parts.options.heartbeat.total_seconds():
                self._append([])
            if time.monotonic() - looked >= _REDISCOVER_S:
                self._discover()
                looked = time.monotonic()
            self._halt.wait(_TICK_S)
        self._require_health()

    def _all(self) -> tuple[Watch, ...]:
        return (self._spaces, *self._watches.values())

    def _start(self, watch: Watch) -> None:
        thread = threading.Thread(target=self._follow, args=(watch,), name=f"watch-{watch.resource}", daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _follow(self, watch: Watch) -> None:
        try:
            watch.follow(self._halt)
        except DrError as error:
            if error.kind is NOT_FOUND:
                # its definition was removed, or the API server has not read it yet: looked for again, deleted by nobody
                self._watches = {name: one for name, one in self._watches.items() if one is not watch}
                self._told("unserved", str(watch.resource))
            else:
                self._fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies must end the session, whatever it died of
            self._fail(DrError(BACKUP_FAILED, f"the watch of {watch.resource} died: {type(error).__name__}: {error}"))

    def _discover(self) -> None:
        """Kinds that are served by now. What cannot be reached, or is forbidden by a server that has just started, is looked
        for again soon; that a right is missing for good is said by the watches."""
        try:
            new = self._unwatched(self._parts.api.served())
            self._state = state_at(self._parts.vault, self._parts.source) if new else State()
            for resource in new:
                self._add(self._new(resource))
        except DrError as error:
            if not error.temporary and error.kind not in (NOT_AUTHORISED, NOT_FOUND):
                raise
            self._told("reconnected", error.message)

    def _add(self, watch: Watch) -> None:
        watch.sync()
        self._watches = {**self._watches, str(watch.resource): watch}
        self._start(watch)

    def _fail(self, error: DrError) -> None:
        self._failure = self._failure or error

    def _require_health(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- appending

    def _emit_spaces(self, changes: Sequence[Change]) -> None:
        """Namespaces changed: what is meant changes with them."""
        self._append(changes)
        before, self._chosen = self._chosen, self._named()
        for watch in [watch for watch in self._watches.values() if watch.resource.namespaced]:
            for namespace in sorted(before - self._chosen):
                watch.leave(namespace)
            if self._chosen - before:
                watch.list_again(self._spaces.fresh)

    def _append(self, changes: Sequence[Change], opening: Sequence[Entry] = ()) -> None:
        with self._lock:
            self._floor = at = _latest(self._parts.clock.now(), self._floor)
            since = None if opening else self._marked
            told = (Entry(_dated(change, since, at), str(change.key), change.data) for change in changes)
            entries = [*opening, *told]
            began = self._appended = time.monotonic()
            self._marked = watermark = self._watermark(at)
            future = self._writer.append(entries, watermark)
        future.add_done_callback(partial(self._settled, len(entries), began))

    def _watermark(self, at: datetime) -> datetime:
        """Nothing is missing up to the oldest of what each kind is known until."""
        known = [watch.fresh for watch in self._all() if watch.fresh]
        return min(known, default=self._writer.head.watermark or at)

    def _settled(self, count: int, began: float, future: Future[Head]) -> None:
        error = future.exception()
        if isinstance(error, DrError):
            self._fail(error)
        elif error is None and count:
            lag = time.monotonic() - began
            self._parts.notice(Notice(self._parts.source, "durable", count, lag))

    def _told(self, kind: str, detail: str) -> None:
        self._parts.notice(Notice(self._parts.source, kind, detail=detail))


def _any(_body: KubeObject) -> bool:
    return True


def _known(parts: Parts) -> tuple[State, list[Entry]]:
    """What the log holds. One that cannot be read is no reason to stop: everything there is is written down anew."""
    try:
        return state_at(parts.vault, parts.source), []
    except DrError as error:
        if error.kind not in (DAMAGED, INSTANT_UNREACHABLE):
            raise
        parts.notice(Notice(parts.source, "reset", detail=error.message))
        key = str(ObjectKey("", LOG, parts.source.name))
        return State(whole=True), [Entry(parts.clock.now(), key, {"op": RESET, "why": error.message})]


def _box(parts: Parts, state: State) -> tuple[SecretBox | None, list[Entry]]:
    """Raises DrError CONFIGURATION when Secrets are to be captured and nothing is there to seal them with."""
    if SECRETS not in parts.options.wanted:
        return None, []
    if parts.sealer is None:
        raise no_key(parts.source)
    box, entry = box_for(parts.sealer, parts.source, state, _latest(parts.clock.now(), state.last))
    return box, [entry] if entry else []


def no_key(source: SourceId) -> DrError:
    hint = "declare keys.primary and keys.secondary in the settings, or take secrets out of the source's kinds"
    return DrError(CONFIGURATION, f"{source}: Secrets are captured sealed only, and no key is declared", hint=hint)


def _dated(change: Change, since: datetime | None, now: datetime) -> datetime:
    """What was seen late is dated by when it had happened, or the instant between would miss it although the log has it; but
    never back to where the log has said already that nothing is missing. `since` None: nothing was known before."""
    if change.by is None or since is None:
        return now
    return min(now, max(change.by, since))


def _latest(now: datetime, *others: datetime | None) -> datetime:
    """Instants in a log never go back, whatever the clock does."""
    return max((now, *(one for one in others if one is not None)))
