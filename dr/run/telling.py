"""Telling people: a thread for each channel, and one for the signal of life. None of them can hold up a backup."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from dr.errors import DrError
from dr.plan.tell import Condition, Message, next_message
from dr.ports import Notifier
from dr.record.told import Failure, Ledger, load_ledger, save_ledger

PAUSE_S, LONGEST_PAUSE_S = 10.0, 300.0
"""After a message that nobody took; doubles each time."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Told of what was tried: the channel, and the error when it failed. Counts it and logs it."""

    sent: Callable[[str, Message], None]
    unsent: Callable[[str, DrError], None]


@dataclass(slots=True)
class Channel:
    """One receiver. What it was told counts only once it was delivered, so what it missed is said when it is back."""

    name: str
    notifier: Notifier
    file: Path
    heard: Heard
    ledger: Ledger = field(default_factory=Ledger)
    failures: int = 0
    """In a row."""

    def __post_init__(self) -> None:
        self.ledger = load_ledger(self.file)

    def step(self, wrong: Sequence[Condition], now: datetime) -> bool:
        """Say what has changed, if anything. False: it could not be delivered."""
        message, told = next_message(self.ledger.told, wrong, now)
        if message is None:
            self._keep(replace(self.ledger, told=told))
            return True
        try:
            self.notifier.send(message.title, message.text, message.severity, message.facts)
        except DrError as error:
            self._failed(error, now)
            return False
        self.failures = 0
        self._keep(Ledger(told))
        self.heard.sent(self.name, message)
        return True

    @property
    def pause_s(self) -> float:
        """Until the next try; 0 while the receiver takes messages."""
        return min(PAUSE_S * 2.0 ** min(self.failures - 1, 16), LONGEST_PAUSE_S) if self.failures else 0.0

    def _failed(self, error: DrError, now: datetime) -> None:
        self.failures += 1
        since = self.ledger.failure.since if self.ledger.failure else now
        self._keep(replace(self.ledger, failure=Failure(since, error.message)))
        self.heard.unsent(self.name, error)

    def _keep(self, ledger: Ledger) -> None:
        if ledger != self.ledger:
            self.ledger = ledger
            # a service that cannot write its cache says things twice after a restart; it must not say nothing
            with suppress(OSError):
                save_ledger(self.file, ledger)


class Repeating:
    """A thread that does one thing again and again, until stopped: `act` gives the seconds until the next time.

    A bug in it is told to `bug`, and it is tried again: who watches must not fall silent by himself.
    """

    def __init__(self, name: str, act: Callable[[], float], bug: Callable[[str, Exception], None]) -> None:
        self._name, self._act, self._bug = name, act, bug
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def poke(self) -> None:
        """Do it now rather than later."""
        self._wake.set()

    def stop(self, wait_s: float) -> None:
        """A thread that is waiting for somebody's answer is left behind."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._once())
            self._wake.clear()

    def _once(self) -> float:
        try:
            return self._act()
        except Exception as error:  # noqa: BLE001 told, and tried again
            self._bug(self._name, error)
            return PAUSE_S


@dataclass(slots=True)
class DeadMan:
    """Calls somebody outside while all is well. Its silence is the alarm: of a dead process, a stuck one, a late row."""

    ping: Callable[[], None]
    withheld: Callable[[], str]
    """Why no call is made now; empty: all is well."""
    every_s: float
    tell: Callable[[DrError | None], None]
    """Of each call: the error, or None."""
    reason: str = "not called yet"
    """Why it was not made the last time; empty: it was."""

    def step(self) -> float:
        self.reason = self.withheld()
        if not self.reason:
            try:
                self.ping()
                self.tell(None)
            except DrError as error:
                self.reason = error.message
                self.tell(error)
        return self.every_s
